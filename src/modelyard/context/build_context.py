"""A staged build context, read from its directory: what it is, and the digests of what is there now."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from modelyard.context.requirements import requirement_lines
from modelyard.errors import InputError
from modelyard.runtime.assembling.pythons import PYTHON_VERSION_FILE, describe_asked, read_python_version
from modelyard.runtime.environment import read_environment
from modelyard.runtime.groups import find_environments, name_requirements
from modelyard.runtime.nearest import describe_choices
from modelyard.workspace import ENVIRONMENT_FILE, Kind

CONTEXT_FILE = "context.json"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class About:
    """What a build context is a context of; lies in context.json beside `upload/`."""

    name: str
    """The full name of the model directory or `all/`."""
    kind: Kind
    builder: Path
    """The builder image's directory, `builders/train` or `builders/daemon`."""
    variant: str
    """`cpu` or `cuda`."""
    requirements: str
    """The file of the workspace that became requirements.txt, as errors name it."""


@dataclass(frozen=True, kw_only=True)
class ContextEnvironment:
    """An environment that the application needs; `folder` holds its requirements.txt and perhaps .python-version."""

    name: str
    folder: Path
    python: str | None
    requirements: tuple[str, ...]
    """The lines that ask for something."""
    requirements_file: str
    """The file of the workspace that they come from, as errors name it."""
    digest: str
    """sha256 of setup.sh, the Python version and the requirements."""

    @property
    def asked(self) -> str:
        """What asks for its Python, as errors say it; empty where nothing does."""
        return describe_asked(self.folder, environment=self.name, requirements_file=self.requirements_file)


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """What is staged below `root`: `upload/src` (the application source), `upload/scripts` (the builder's scripts)."""

    root: Path
    about: About
    arguments: Mapping[str, str]
    """The variant's build arguments, of `builders/<variant>.args`."""
    environment: Mapping[str, str]
    """The staged `.s2i/environment`."""
    source_digest: str
    """sha256 of everything in `upload/`: paths, the executable bit, content."""
    environments: tuple[ContextEnvironment, ...]
    """Where its models run: `default`, then the others by name."""
    runs_setup: bool = False
    """Whether the user lets setup.sh run on this machine, where no container is around the build."""

    @property
    def dependencies_digest(self) -> str:
        """sha256 of setup.sh, and of what each environment asks for."""
        default, *others = self.environments
        if not others:
            return default.digest
        return digest_parts(part.encode() for each in self.environments for part in (each.name, each.digest))

    @property
    def requirements(self) -> tuple[str, ...]:
        """The lines that ask for something, of the environment `default`."""
        return self.environments[0].requirements

    @property
    def name(self) -> str:
        """The full name of the model directory or `all/`."""
        return self.about.name

    @property
    def kind(self) -> Kind:
        """What its image is for."""
        return self.about.kind

    @property
    def source(self) -> Path:
        """The staged application source."""
        return self.root / "upload" / "src"

    @property
    def scripts(self) -> Path:
        """The staged scripts: assemble, run, usage, save-artifacts."""
        return self.root / "upload" / "scripts"


def load_context(root: Path) -> BuildContext:
    """Read back a staged context that a user may have edited: its digests are those of what is there now."""
    root = root.resolve()
    about = _read_about(root / CONTEXT_FILE)
    source = root / "upload" / "src"
    return BuildContext(
        root=root,
        about=about,
        arguments=read_arguments(about.builder.parent, about.variant),
        environment=dict(read_environment(source / ENVIRONMENT_FILE)),
        source_digest=digest_tree(root / "upload"),
        environments=tuple(_load_environments(source, about.requirements)),
    )


def _load_environments(source: Path, requirements_file: str) -> Iterator[ContextEnvironment]:
    script = source / "setup.sh"
    setup = script.read_bytes() if script.is_file() else b""
    for name, folder in find_environments(source):
        requirements = tuple(text for _, text in requirement_lines(folder / "requirements.txt"))
        python = read_python_version(folder / PYTHON_VERSION_FILE)
        pinned = [f"{PYTHON_VERSION_FILE} {python}"] if python else []
        yield ContextEnvironment(
            name=name,
            folder=folder,
            python=python,
            requirements=requirements,
            requirements_file=name_requirements(name, requirements_file),
            digest=digest_parts([setup, *map(str.encode, [*pinned, *requirements])]),
        )


def write_about(root: Path, about: About) -> None:
    """Write what a staged context is a context of, for `load_context`."""
    read_arguments(about.builder.parent, about.variant)
    text = json.dumps({"schema": SCHEMA, **asdict(about), "builder": str(about.builder)}, indent=2)
    (root / CONTEXT_FILE).write_text(text + "\n", encoding="utf-8")


def read_arguments(builders: Path, variant: str) -> dict[str, str]:
    """Read the build arguments of a variant; raise InputError that lists the variants there are."""
    path = builders / f"{variant}.args"
    if not path.is_file():
        known = describe_choices(variant, sorted(other.stem for other in builders.glob("*.args")))
        raise InputError(f"{path}: no such variant (there are: {known})", hint="set VARIANT to one of these")
    return read_environment(path)


def digest_tree(folder: Path) -> str:
    """The sha256 of a folder: of every file its relative path, executable bit and content, in sorted order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return digest_parts(part for path in files for part in _digested(path, folder))


def digest_parts(parts: Iterable[bytes]) -> str:
    """The sha256 of parts, each under its length, so that no two sequences of parts look alike."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()


def _digested(path: Path, folder: Path) -> tuple[bytes, bytes, bytes]:
    executable = b"x" if path.stat().st_mode & 0o100 else b"-"
    return path.relative_to(folder).as_posix().encode(), executable, path.read_bytes()


def _read_about(path: Path) -> About:
    hint = f"make one: modelyard stage <directory> train|predict {path.parent}"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.pop("schema") != SCHEMA:
            raise ValueError("written by another version of modelyard")
        return About(**{**fields, "builder": Path(fields["builder"])})
    except FileNotFoundError:
        raise InputError(f"{path.parent}: no build context, it has no {path.name}", hint=hint) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: no build context ({error})", hint=hint) from None
