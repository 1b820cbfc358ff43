"""What builder images are made of, and the digests that find them again: `platform`, `toolbox` and `builder`.

One Dockerfile makes three, each on top of the one before: `platform`, which application images stand on; `toolbox`,
with uv, in which containers install requirements; and `builder`, with the scripts, which s2i uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import modelyard
from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.errors import WorkspaceError

BUILDER_LABEL = "io.modelyard.builder"
BASE_LABEL = "io.modelyard.base"
ROLE_LABEL = "io.modelyard.role"
BASE_IMAGE = "MODELYARD_BASE_IMAGE"
LIB = "/opt/modelyard/lib"
SCRIPTS = "/usr/libexec/s2i"
ENVIRONMENTS = "/opt/modelyard/environments"
"""Where images have their environments."""
FORMAT = b"2"
"""To be raised when platforms are made in another way: it is in their keys."""
Role = Literal["platform", "toolbox", "builder"]


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What applications stand on, and the digest of what it is made of."""

    key: str
    id: str


@dataclass(frozen=True)
class BuilderPlan:
    """What goes into a builder image, by its path in the workspace, and the build arguments."""

    name: str
    variant: str
    files: Mapping[str, bytes]
    executable: frozenset[str]
    arguments: Mapping[str, str]

    @property
    def runtime(self) -> Mapping[str, bytes]:
        """The runtime and the scripts, by their path in images: what changes with every modelyard."""
        places = {"src/modelyard/": f"{LIB}/modelyard/", f"builders/{self.name}/s2i/bin/": f"{SCRIPTS}/"}
        return {
            place + name.removeprefix(prefix): content
            for name, content in self.files.items()
            for prefix, place in places.items()
            if name.startswith(prefix)
        }

    @property
    def runtime_key(self) -> str:
        """The digest of the runtime and the scripts."""
        return _digest({}, self.runtime)

    @property
    def key(self) -> str:
        """The digest of all of it."""
        return _digest(self.arguments, self.files)

    @property
    def platform_key(self) -> str:
        """The digest of what platform and toolbox are made of."""
        names = [f"builders/{self.name}/Dockerfile", *self.wanted]
        return _digest(self.arguments, {"format": FORMAT, **{name: self.files[name] for name in names}})

    @property
    def wanted(self) -> list[str]:
        """The requirements files of what these images hold themselves."""
        names = ("builders/tools.txt", f"builders/{self.name}/requirements.txt")
        return [name for name in names if name in self.files]

    @property
    def base(self) -> str:
        """The image it stands on."""
        return self.arguments["BASE_IMAGE"]

    def key_of(self, role: Role) -> str:
        """The digest of what the image of a role is made of."""
        return self.key if role == "builder" else self.platform_key

    def platform_on(self, base: str) -> str:
        """The digest of the platform that stands on the base image of the id `base`."""
        return digest_parts([self.platform_key.encode(), base.encode()])

    def tag(self, role: Role) -> str:
        """What the image is called in the engine's own list."""
        return f"modelyard/{self.name}-{role}:{self.variant}-{self.key_of(role)[:12]}"


def _digest(arguments: Mapping[str, str], files: Mapping[str, bytes]) -> str:
    lines = [f"{name}={value}".encode() for name, value in sorted(arguments.items())]
    return digest_parts([*lines, *(part for name in sorted(files) for part in (name.encode(), files[name]))])


def plan_builder(context: BuildContext, environ: Mapping[str, str]) -> BuilderPlan:
    """Read what the builder of a context is made of; raise WorkspaceError where it has no Dockerfile."""
    builder = context.about.builder
    if not (builder / "Dockerfile").is_file():
        raise WorkspaceError(
            f"{builder}: has no Dockerfile, so no engine of images can make this builder",
            hint="restore the workspace's builders/, or use --engine local",
        )
    package = Path(modelyard.__file__).parent
    paths = {f"builders/{builder.name}/{path.relative_to(builder).as_posix()}": path for path in _files(builder)}
    paths["builders/tools.txt"] = builder.parent / "tools.txt"
    paths["src/modelyard/__init__.py"] = package / "__init__.py"
    runtime = package / "runtime"
    paths |= {f"src/modelyard/runtime/{path.relative_to(runtime).as_posix()}": path for path in _files(runtime)}
    arguments = dict(context.arguments)
    if environ.get(BASE_IMAGE):
        arguments["BASE_IMAGE"] = environ[BASE_IMAGE]
    return BuilderPlan(
        name=builder.name,
        variant=context.about.variant,
        files={name: path.read_bytes() for name, path in paths.items()},
        executable=frozenset(name for name, path in paths.items() if path.stat().st_mode & 0o100),
        arguments=arguments,
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
