"""What uv installed: the distributions of an environment, each with its files, without what no image needs.

A wheel's RECORD says which files are its own: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

import base64
import csv
import hashlib
import io
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.context.build_context import digest_parts
from modelyard.images.builder import ENVIRONMENTS
from modelyard.images.layer import check_member
from modelyard.runtime.assembling.installation import normalise

# Folders of installed packages that nothing imports in production; they are a third of what scikit-learn installs.
LEFT_OUT = frozenset({"tests"})
# What uv notes for itself: who asked for the package, and when its wheel was written.
_NOTES = frozenset({"REQUESTED", "uv_build.json", "uv_cache.json"})

# How a console script of uv's begins in an environment that may be moved: it looks for the Python beside itself.
_MOVABLE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python' "$0" "$@"
' '''
"""

# What `uv venv` puts beside the packages.
_OF_UV = frozenset({"_virtualenv.py", "_virtualenv.pth"})


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """An installed package. `files` are paths below the environment, `record` what its RECORD says of them,
    `size` their bytes."""

    name: str
    version: str
    record_file: str
    files: tuple[str, ...]
    record: bytes
    size: int
    digest: str
    """The digest of all its files: RECORD has theirs."""

    @property
    def title(self) -> str:
        """What `docker history` shows: `numpy 2.4.6`."""
        return f"{self.name} {self.version}"

    @property
    def modules(self) -> Mapping[str, str]:
        """What can be compiled: each file with the one that Python looks for beside it."""
        return {name: _compiled(name) for name in self.files if name.endswith(".py") and not name.startswith("bin/")}

    def contents(self, environment: Path) -> Mapping[str, bytes | Path]:
        """The content of each file, of what was compiled as well, by its path below the environment."""
        compiled = [name for name in self.modules.values() if (environment / name).is_file()]
        files: dict[str, bytes | Path] = {name: environment / name for name in (*self.files, *compiled)}
        scripts = {name: _read_script(environment, name) for name in self.files if name.startswith("bin/")}
        files |= {name: content for name, content in scripts.items() if content is not None}
        return {**files, self.record_file: self.record}


def read_distributions(environment: Path) -> list[Distribution]:
    """The distributions of an environment, by name. Raises EngineError for one whose files leave it."""
    records = sorted(environment.glob("lib/python*/site-packages/*.dist-info/RECORD"))
    return sorted((_read(environment, path) for path in records), key=lambda each: each.name)


def _read(environment: Path, path: Path) -> Distribution:
    site = path.parent.parent.relative_to(environment).as_posix()
    own = path.relative_to(environment).as_posix()
    rows: dict[str, list[str]] = {}
    for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
        name = posixpath.normpath(posixpath.join(site, row[0]))
        check_member(PurePosixPath(name))
        if not is_left_out(PurePosixPath(name)) and (environment / name).is_file():
            rows[name] = _describe_script(environment, name, row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows[name] for name in sorted(rows))
    record = text.getvalue().encode()
    without_hash = [(environment / name).read_bytes() for name, row in rows.items() if not row[1] and name != own]
    name, _, version = path.parent.name.removesuffix(".dist-info").partition("-")
    return Distribution(
        name=normalise(name),
        version=version,
        record_file=own,
        files=tuple(sorted(rows)),
        record=record,
        digest=digest_parts([record, *without_hash]),
        size=sum(int(row[2] or 0) for row in rows.values()),
    )


def _describe_script(environment: Path, name: str, row: list[str]) -> list[str]:
    """What RECORD says of a file, when it is what the image has of it."""
    content = _read_script(environment, name) if name.startswith("bin/") else None
    if content is None:
        return row
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return [row[0], f"sha256={digest}", str(len(content))]


def _read_script(environment: Path, name: str) -> bytes | None:
    """A console script with the image's own Python in its first line; None for what is another file."""
    content = (environment / name).read_bytes()
    if not content.startswith(_MOVABLE):
        return None
    return f"#!{ENVIRONMENTS}/{environment.name}/bin/python\n".encode() + content.removeprefix(_MOVABLE)


def find_stray(environment: Path, distributions: Iterable[Distribution]) -> str | None:
    """A file that was installed and that no RECORD lists, if there is one."""
    claimed = {name for each in distributions for name in (*each.files, each.record_file)}
    for site in environment.glob("lib/python*/site-packages"):
        for folder, _, files in os.walk(site):
            place = PurePosixPath(folder).relative_to(environment)
            names = [place / file for file in files if f"{place}/{file}" not in claimed]
            stray = next((name for name in names if not is_left_out(name) and name.name not in _OF_UV), None)
            if stray is not None:
                return str(stray)
    return None


def is_left_out(name: PurePosixPath) -> bool:
    """Whether a path below an environment is for no layer: tests are for developers, notes are uv's own."""
    packages = name.parts[name.parts.index("site-packages") + 1 :] if "site-packages" in name.parts else ()
    is_note = name.name in _NOTES and name.parent.suffix == ".dist-info"
    return is_note or not LEFT_OUT.isdisjoint(packages)


def _compiled(name: str) -> str:
    """Where the compiled module of a file is.

    >>> _compiled("lib/python3.11/site-packages/six.py")
    'lib/python3.11/site-packages/__pycache__/six.cpython-311.pyc'
    """
    place = PurePosixPath(name)
    tag = place.parts[1].replace("python", "cpython-").replace(".", "")
    return str(place.parent / "__pycache__" / f"{place.stem}.{tag}.pyc")
