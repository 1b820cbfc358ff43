"""Lock files: every package that a requirements file comes to, with version and hashes, for one platform and Python."""

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from modelyard.context.build_context import BuildContext, ContextEnvironment, digest_parts, load_context, write_about
from modelyard.runtime.assembling.variants import ARGUMENTS

SUFFIX = ".lock"
State = Literal["fresh", "stale", "missing"]
_DIGEST = re.compile(r"^# of sha256:(?P<digest>[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What requirements are installed for."""

    python: str
    """The version of environments that ask for none: `3.11`."""
    platform: str
    """As uv calls it: `x86_64-unknown-linux-gnu`."""
    name: str = ""
    """Where locks of several platforms lie beside each other, what is in their names: `linux-arm64`."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The lock of one environment of a build context, and how it compares with what it should be of."""

    environment: ContextEnvironment
    path: Path
    python: str
    platform: str
    digest: str
    """The digest of all that the file has to be worked out from, as things are now."""

    @property
    def state(self) -> State:
        """Whether the file is there, and of what it should be of."""
        if not self.path.is_file():
            return "missing"
        match = _DIGEST.search(self.path.read_text(encoding="utf-8", errors="replace"))
        return "fresh" if match and match["digest"] == self.digest else "stale"

    def format(self, pins: str) -> str:
        """The text of the file: what it is of, then the pins."""
        of = f"{self.environment.requirements_file} for Python {self.python} on {self.platform}"
        return f"# {of}, written by `modelyard lock`.\n# of sha256:{self.digest}\n{pins}"


def find_locks(context: BuildContext, target: Target) -> Iterator[Lock]:
    """The lock of each environment of a context that asks for anything; the files may be missing."""
    arguments = [context.arguments.get(name, "") for name in ARGUMENTS]
    for environment in filter(lambda each: each.requirements, context.environments):
        python = environment.python or target.python
        parts = [*arguments, python, target.platform, *environment.requirements]
        lock = Lock(
            environment=environment,
            path=lock_path(context, environment, target.name),
            python=python,
            platform=target.platform,
            digest=digest_parts(map(str.encode, parts)),
        )
        common = replace(lock, path=lock_path(context, environment))
        yield common if lock.state == "missing" and common.state == "fresh" else lock


def lock_path(context: BuildContext, environment: ContextEnvironment, name: str = "") -> Path:
    """Where the lock of an environment lies: beside its requirements file in the workspace.

    `name` is that of a platform, for the lock of that alone: `requirements_train.linux-arm64.lock`.
    """
    path = context.about.builder.parent.parent / environment.requirements_file
    return path.with_suffix(f".{name}{SUFFIX}" if name else SUFFIX)


def has_locks(context: BuildContext) -> bool:
    """Whether any of its environments has a lock, of whichever platform."""
    paths = [lock_path(context, each) for each in context.environments if each.requirements]
    return any(path.is_file() or any(path.parent.glob(f"{glob.escape(path.stem)}.*{SUFFIX}")) for path in paths)


def is_locked(context: BuildContext) -> bool:
    """Whether locks stand in place of the requirements already."""
    return context.about.requirements.endswith(SUFFIX)


def apply_locks(context: BuildContext, name: str = "") -> BuildContext:
    """Put the locks in place of the staged requirements, and return what the context is then.

    `name` is that of a platform whose own locks are taken, where it has them.

    A lock names no index, so the options of the requirements file follow it.
    """
    for environment in filter(lambda each: each.requirements, context.environments):
        options = "".join(f"{line}\n" for line in environment.requirements if line.startswith("-"))
        own = lock_path(context, environment, name)
        text = (own if own.is_file() else lock_path(context, environment)).read_text(encoding="utf-8")
        (environment.folder / "requirements.txt").write_text(text + options, encoding="utf-8")
    requirements = PurePosixPath(context.about.requirements).with_suffix(SUFFIX)
    write_about(context.root, replace(context.about, requirements=str(requirements)))
    return load_context(context.root)
