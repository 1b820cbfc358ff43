"""Ask uv whether lines of requirements can be installed together; where they can't, find the fewest that fight."""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from packaging.utils import canonicalize_name

from modelyard.network import mask_credentials
from modelyard.runtime.assembling.installation import ask_uv
from modelyard.runtime.assembling.variants import choose_torch_backend
from modelyard.runtime.scratch import scratch_folder

_SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Said when a package is not known to be missing: it could not be looked up.
_OFFLINE = "the network was disabled"
_NO_SOLUTION = "No solution found"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether lines go together. A conflict names the fewest lines that still fight; unknown says why not."""

    status: Literal["fits", "conflict", "unknown"]
    fighting: tuple[str, ...] = ()
    explanation: str = ""
    """The resolver's own words."""


class Resolve(Protocol):
    """Whoever tells whether lines can be installed together."""

    def __call__(self, lines: Sequence[str], *, python: str | None = None) -> Verdict:
        """Tell so of `lines`, for the Python version `python`, or the one that is used by default."""


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """A `Resolve` by uv.

    `uv` is its path, `environ` its whole environment: index, proxy and certificate settings, TORCH_BACKEND. Lines that
    were once found to fit are remembered in the folder `cache`; conflicts are only while the process lives, since a new
    release may end them.
    """

    uv: str
    environ: Mapping[str, str] = field(repr=False)
    cache: Path | None = None
    python_version: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    _conflicts: dict[str, Verdict] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, lines: Sequence[str], *, python: str | None = None) -> Verdict:
        """Tell whether `lines` can be installed together; `python` is a version in place of the resolver's own."""
        if python is not None and python != self.python_version:
            return replace(self, python_version=python)(lines)
        if self.remembers(lines):
            return Verdict(status="fits")
        digest = self._digest(lines)
        if digest not in self._conflicts:
            verdict = self._ask(lines)
            if verdict.status == "fits" and self.cache:
                _write(self._record(self.cache, lines), json.dumps({"schema": _SCHEMA, "fits": list(lines)}, indent=2))
            if verdict.status != "conflict":
                return verdict
            self._conflicts[digest] = self._minimise(lines, verdict)
        return self._conflicts[digest]

    def remembers(self, lines: Sequence[str], *, python: str | None = None) -> bool:
        """Tell whether `lines` are known to fit, so that uv need not be asked."""
        if python is not None and python != self.python_version:
            return replace(self, python_version=python).remembers(lines)
        return not lines or (self.cache is not None and self._record(self.cache, lines).is_file())

    def _ask(self, lines: Sequence[str]) -> Verdict:
        names: dict[str, None] = {canonicalize_name(match[0]): None for line in lines if (match := _NAME.match(line))}
        with scratch_folder() as folder:
            source = folder / "requirements.in"
            source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            options = ["--quiet", "--no-progress", "--color=never", "--no-header", "--no-annotate"]
            versions = ["--python", sys.executable, "--python-version", self.python_version]
            # of the settings in a network profile, the one that uv reads from no variable
            index = ["--no-index"] if self.environ.get("UV_NO_INDEX") else []
            command = [self.uv, "pip", "compile", *options, *versions, *index, str(source)]
            command += choose_torch_backend(names, self.environ)
            environ = {"UV_HTTP_RETRIES": "1", **self.environ}
            code, said = ask_uv(command, environ, cwd=folder)
        if code == 0:
            return Verdict(status="fits")
        known = _NO_SOLUTION in said and _OFFLINE not in said
        return Verdict(status="conflict" if known else "unknown", explanation=_explanation(said))

    def _minimise(self, lines: Sequence[str], verdict: Verdict) -> Verdict:
        """Leave out one line after the other, as long as the rest still fights; uv's words say where to begin."""
        requirements = [line for line in lines if not line.startswith("-")]
        options = [line for line in lines if line.startswith("-")]
        said = {canonicalize_name(word.rstrip(".")) for word in _NAME.findall(_without_versions(verdict.explanation))}
        fighting = [
            line for line in requirements if (match := _NAME.match(line)) and canonicalize_name(match[0]) in said
        ]
        found = self._ask([*options, *fighting])
        if found.status != "conflict":
            fighting, found = requirements, verdict
        for line in tuple(fighting):
            fewer = [other for other in fighting if other != line]
            answer = self._ask([*options, *fewer]) if fewer else Verdict(status="fits")
            if answer.status == "conflict":
                fighting, found = fewer, answer
        return Verdict(status="conflict", fighting=tuple(fighting), explanation=found.explanation)

    def _record(self, cache: Path, lines: Sequence[str]) -> Path:
        return cache / f"{self._digest(lines)}.json"

    def _digest(self, lines: Sequence[str]) -> str:
        settings = {
            key: value for key, value in self.environ.items() if key.startswith("UV_") or key == "TORCH_BACKEND"
        }
        key = [_SCHEMA, list(lines), self.python_version, platform.platform(), sorted(settings.items())]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _explanation(output: str) -> str:
    text = mask_credentials(output)
    lines = (re.sub(r"^\s*(error|cause|×|╰─▶)[: ]*", "", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith((_NO_SOLUTION, "warning:")))


def _without_versions(text: str) -> str:
    return re.sub(r"[=<>!~]=?\S*", " ", text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
