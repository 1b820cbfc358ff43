"""Which Python an environment is made of: what `.python-version` asks for, by uv's convention, or the default."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from modelyard.runtime.errors import InputError, at
from modelyard.runtime.groups import DEFAULT
from modelyard.runtime.text_lines import split_lines

PYTHON_VERSION_FILE = ".python-version"
# What the worker that runs a model supports.
OLDEST = (3, 9)
# The version and uv's name of the platform that an environment is made for, where that is not this machine's:
# "3.11.2 x86_64-manylinux_2_36".
TARGET = "MODELYARD_TARGET"
_VERSION = re.compile(r"3\.\d{1,2}(\.\d{1,2})?")
_SHOW_VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


def read_python_version(path: Path) -> str | None:
    """Read a `.python-version` file; None where there is none. Raises InputError naming its line for anything else."""
    if path.is_dir():
        raise InputError(f"{path}: a folder, expected a file", hint="write a file with a version, such as 3.12")
    if not path.is_file():
        return None
    number, text = _find_version(path)
    return _check_version(text, at(path, number))


def describe_asked(folder: Path, *, environment: str, requirements_file: str) -> str:
    """Say what asks for the Python of an environment that `folder` describes; empty where nothing does.

    The `.python-version` of a model directory lies beside its requirements file; an `all/` has none of its own.
    """
    path = folder / PYTHON_VERSION_FILE
    if not path.is_file():
        return ""
    number, version = _find_version(path)
    requirements = PurePosixPath(requirements_file)
    asker = at(str(requirements.with_name(PYTHON_VERSION_FILE)), number)
    if environment != DEFAULT or requirements.parent.name == "all":
        asker = f"the {PYTHON_VERSION_FILE} of the models in the environment {environment!r}"
    return f"{asker} asks for Python {version}"


def find_python(version: str | None, *, default: str, uv: str, environ: Mapping[str, str], asked: str) -> str:
    """Find the interpreter of a version: `default` where it (or its target) is that, else one that uv finds here.

    Nothing is downloaded. Raises InputError where this machine has none; `asked` says what asks for it.
    """
    if version is None or is_version(environ.get(TARGET) or read_full_version(default), version):
        return default
    command = [uv, "python", "find", "--system", "--no-project", "--no-python-downloads", version]
    own = uv_environ(environ)
    found = subprocess.run(command, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if found.returncode or not found.stdout.strip():
        raise InputError(
            f"{asked}, which is not on this machine",
            hint=f"install it (uv python install {version}), ask for another there, "
            "or in containers set BASE_IMAGE to an image that has it",
        )
    return found.stdout.strip()


def uv_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment to start uv with: it reads no pyproject.toml or uv.toml of the current folder, or above it.

    What is installed may be shared by all who ask for the same, so only what they asked for decides. A file that
    UV_CONFIG_FILE names is read: who says so means it.
    """
    return {**environ, "UV_NO_CONFIG": "1"}


def _find_version(path: Path) -> tuple[int, str]:
    for number, raw in enumerate(split_lines(path.read_text(encoding="utf-8-sig", errors="replace")), start=1):
        line = raw.partition("#")[0].strip()
        if line:
            return number, line
    raise InputError(f"{path}: asks for no version", hint="write one, such as 3.12, or remove the file")


def _check_version(text: str, place: str) -> str:
    if not _VERSION.fullmatch(text):
        raise InputError(f"{place}: {text!r} is no Python version", hint="write one such as 3.12 or 3.12.4")
    if tuple(map(int, text.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise InputError(f"{place}: Python {text} is older than {oldest}", hint=f"models run on {oldest} and newer")
    return text


def choose_target(environ: Mapping[str, str]) -> list[str]:
    """The options that let uv install for MODELYARD_TARGET: wheels alone, for what is built here fits this machine.

    >>> choose_target({"MODELYARD_TARGET": "3.11.2 x86_64-manylinux_2_36"})
    ['--python-version', '3.11.2', '--python-platform', 'x86_64-manylinux_2_36', '--no-build']
    """
    version, _, platform = environ.get(TARGET, "").partition(" ")
    return ["--python-version", version, "--python-platform", platform, "--no-build"] if version else []


def is_version(full: str, asked: str) -> bool:
    """Tell whether a version is one that was asked for in fewer numbers.

    >>> is_version("3.11.2", "3.11"), is_version("3.11.2", "3.1")
    (True, False)
    """
    return f"{full.partition(' ')[0]}.".startswith(f"{asked}.")


def read_full_version(python: str) -> str:
    """Ask an interpreter for its full version; empty where it does not run."""
    try:
        command = [python, "-I", "-c", _SHOW_VERSION]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
