"""Bearer tokens from files: who may use a route, and who the admin endpoints.

MODELYARD_TOKENS names a file of lines `name=token`, or a folder with a file for each name (`income.token`, or `income`
as Kubernetes mounts secrets; a line a token). A name is a route, `routes` for every route, or `admin` for the admin
endpoints. Several tokens of one name all count, so that one can take over from another. A route that no name stands for
is open.
"""

import hmac
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from modelyard.runtime.daemon.channels import NonsenseError, check_form, each, parse_object, read_shared, table, text
from modelyard.runtime.errors import InputError
from modelyard.runtime.nearest import describe_choices
from modelyard.runtime.text_lines import split_lines

_LARGEST = 1 << 24
_LARGEST = 1 << 24
KEPT_FILE = "tokens.json"
EVERY_ROUTE = "routes"
ADMIN = "admin"
_SUFFIX = ".token"


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The digests of the tokens of each name."""

    digests: Mapping[str, frozenset[bytes]] = field(default_factory=dict)

    def is_open(self, *names: str) -> bool:
        """Tell whether nobody needs a token for what these names stand for."""
        return not any(name in self.digests for name in names)

    def accept(self, token: str, *names: str) -> bool:
        """Tell whether `token` is one of these names'; takes equally long for each wrong one."""
        given = sha256(token.encode()).digest()
        known = (digest for name in names for digest in self.digests.get(name, ()))
        matches = [hmac.compare_digest(given, digest) for digest in known]  # every one, whichever is right
        return any(matches)

    def know(self, token: str) -> bool:
        """Tell whether `token` is anybody's."""
        return self.accept(token, *self.digests)


def load_tokens(place: Path, routes: Collection[str]) -> Tokens:
    """Read the tokens at `place`; raise InputError naming file and line, and never a token."""
    digests: dict[str, set[bytes]] = {}
    try:
        for name, token, where in _read_folder(place) if place.is_dir() else _read_file(place):
            if name not in (*routes, EVERY_ROUTE, ADMIN):
                raise InputError(
                    f"{where}: a token for {name!r}, which is no route here",
                    hint=f"name one of {describe_choices(name, routes)}, or {EVERY_ROUTE} or {ADMIN}",
                )
            digests.setdefault(name, set()).add(_digest(token, where))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"MODELYARD_TOKENS {place}: {reason}", hint="name a file or folder of tokens") from None
    if not digests:
        raise InputError(f"MODELYARD_TOKENS {place}: holds no token", hint="write one, or unset it to open every route")
    return Tokens(digests={name: frozenset(found) for name, found in digests.items()})


def keep_tokens(tokens: Tokens, run_dir: Path) -> None:
    """Write the digests into the run directory, for a gateway process that starts while the files are broken."""
    scratch = run_dir / f".{KEPT_FILE}.{os.getpid()}"
    scratch.touch(mode=0o600)
    shown = {name: sorted(digest.hex() for digest in found) for name, found in tokens.digests.items()}
    scratch.write_text(json.dumps(shown))
    scratch.replace(run_dir / KEPT_FILE)


def load_kept_tokens(run_dir: Path) -> Tokens:
    """The tokens that were kept last; raise OSError where none were."""
    try:
        shown = parse_object(read_shared(run_dir / KEPT_FILE, _LARGEST))
        check_form({"tokens": shown}, {"tokens": table(text, each(text))}, "a file")
        return Tokens(digests={name: frozenset(map(bytes.fromhex, found)) for name, found in shown.items()})
    except (NonsenseError, ValueError) as error:
        raise OSError(f"{run_dir / KEPT_FILE}: {error}") from None


def take_stamp(place: Path) -> tuple[object, ...]:
    """What is different when the tokens at `place` may have changed."""
    files = _list_files(place) if place.is_dir() else [place]
    stamps = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        stamps.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


def _read_folder(folder: Path) -> Iterator[tuple[str, str, str]]:
    for path in _list_files(folder):
        name = path.relative_to(folder).as_posix().removesuffix(_SUFFIX)
        lines = _read_lines(path)
        found = [(line.strip(), f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
        if not found:
            raise InputError(f"{path}: holds no token", hint="write one, or remove the file to open the route")
        yield from ((name, token, where) for token, where in found)


def _read_file(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(_read_lines(path), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, token = text.partition("=")
        if not equals:
            raise InputError(f"{path}:{number}: no '='", hint="write route=token")
        yield name.strip(), token.strip(), f"{path}:{number}"


def _read_lines(path: Path) -> list[str]:
    return split_lines(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark


def _list_files(folder: Path) -> list[Path]:
    """The files below `folder`; hidden ones, such as Kubernetes' own `..data`, are none."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _digest(token: str, where: str) -> bytes:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{where}: no token", hint="a token is made of visible ASCII characters, without a blank")
    return sha256(token.encode()).digest()
