"""The Python of an image, read from its files: nothing of the image is run."""

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from modelyard.errors import EngineError
from modelyard.images.elf import Elf
from modelyard.images.interpreter import Interpreter
from modelyard.images.tree import Found, Tree

OLDEST = (3, 9)
"""What runs in images runs on this Python and newer ones."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HINT = f"a base image needs CPython {OLDEST[0]}.{OLDEST[1]} or newer as python3; MODELYARD_BASE_IMAGE names another"

Read = Callable[[Found], bytes]
"""The content of a file."""


def read_interpreter(tree: Tree, read: Read, variables: Mapping[str, str], name: str) -> Interpreter:
    """What the image called `name` has as python3. Raises EngineError that says what was found in its place."""
    python, elf = _find_python(tree, read, variables.get("PATH") or _PATH, name)
    try:
        version = _read_version(tree, read, python, elf)
        loader = elf.loader
    except (struct.error, IndexError, OverflowError):
        raise EngineError(f"{name}: its {python.path} is a broken program", hint=_HINT) from None
    if version is None:
        raise EngineError(f"{name}: its {python.path} does not say which Python it is", hint=_HINT)
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        raise EngineError(f"{name} has Python {version} ({python.path})", hint=_HINT)
    usual = re.search(r"\d[a-z]+$", python.path) is None  # python3.13t has no GIL: other wheels
    libc = _read_libc(tree, read, loader) if usual else "unknown"
    return Interpreter(version=version, machine=elf.machine, libc=libc, path=python.path)


def _find_python(tree: Tree, read: Read, path: str, name: str) -> tuple[Found, Elf]:
    places = [f"{folder.rstrip('/')}/python3" for folder in path.split(":") if folder.startswith("/")]
    found = next((found for place in places if (found := tree.find(place)) and found.member.kind == "file"), None)
    if found is None:
        others = sorted(_find_others(tree, path))
        what = f"; it has {', '.join(others)}" if others else ""
        raise EngineError(f"{name} has no python3 in {path}{what}", hint=_HINT)
    elf = Elf(read(found))
    if not elf.is_one:
        first = elf.content[:80].partition(b"\n")[0].decode(errors="replace")
        raise EngineError(f"{name}: its {found.path} is no program, but begins with {first!r}", hint=_HINT)
    if not re.fullmatch(r"python3(\.\d+)?[a-z]*", PurePosixPath(found.path).name):
        raise EngineError(f"{name}: its python3 is {found.path}", hint=_HINT)
    return found, elf


def _find_others(tree: Tree, path: str) -> Iterable[str]:
    """What else is there that is called a Python."""
    for found in tree.walk():
        place = PurePosixPath(found.path)
        if re.fullmatch(r"(python|pypy)[\d.]*[a-z]*", place.name) and place.parent.name == "bin":
            yield found.path if str(place.parent) in path.split(":") else f"{found.path} (not in PATH)"


def _read_version(tree: Tree, read: Read, python: Found, elf: Elf) -> str | None:
    """All of the version: of the symbol that CPython exports since 3.11, of its headers, of the text in it."""
    prefix = PurePosixPath(python.path).parent.parent
    libraries = [f for f in tree.walk() if re.fullmatch(r"libpython3\.\d+[a-z]*\.so\.1\.0", PurePosixPath(f.path).name)]
    near = sorted(libraries, key=lambda each: not each.path.startswith(f"{prefix}/"))
    for each in [elf, *(Elf(read(found)) for found in near if found.member.kind == "file")]:
        number = each.number("Py_Version") if each.is_one else None
        if number is not None:
            return _format(number)
    minor = re.search(r"3\.\d+", python.path)
    header = tree.find(f"{prefix}/include/python{minor[0]}/patchlevel.h") if minor else None
    if header is not None and (match := re.search(rb'PY_VERSION\s+"(\d+\.\d+\.\d+)', read(header))):
        return match[1].decode()
    texts = set(re.findall(rb"(?<=\0)3\.\d+\.\d+(?=\0)", elf.content)) if minor else set()
    fitting = [text.decode() for text in texts if minor and text.startswith(f"{minor[0]}.".encode())]
    return fitting[0] if len(fitting) == 1 else None


def _format(number: int) -> str:
    """A version of Python's PY_VERSION_HEX.

    >>> _format(0x030B02F0)
    '3.11.2'
    """
    return f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}"


def _read_libc(tree: Tree, read: Read, loader: str | None) -> str:
    """The C library that loads Python: `glibc 2.36`, `musl`, or `unknown`."""
    if loader is None:
        return "unknown"
    if "ld-musl" in loader:
        return "musl"
    found = tree.find(loader)
    library = tree.find(f"{PurePosixPath(found.path).parent}/libc.so.6") if found else None
    match = re.search(rb"GNU C Library [^\n]* version (\d+\.\d+)", read(library)) if library else None
    return f"glibc {match[1].decode()}" if match else "unknown"
