"""The scripts of a build context: those of a builder image, each overridden by the directory's own in `.s2i/bin`."""

from pathlib import Path, PurePosixPath

from modelyard.context.plan import Plan, walk_files
from modelyard.errors import InputError, WorkspaceError, at
from modelyard.runtime.nearest import describe_choices
from modelyard.workspace import Kind, Workspace

_BUILDERS = {"train": "train", "predict": "daemon"}


def find_builder(workspace: Workspace, kind: Kind, name: str | None) -> Path:
    """The directory of a builder image, that of the kind unless named; raise WorkspaceError where there is none."""
    builders = workspace.root / "builders"
    folder = builders / (name or _BUILDERS[kind])
    if not (folder / "s2i" / "bin" / "assemble").is_file():
        names = sorted(path.parents[2].name for path in builders.glob("*/s2i/bin/assemble"))
        known = describe_choices(folder.name, names)
        raise WorkspaceError(f"{folder}: no builder image, it has no s2i/bin/assemble (here: {known})", hint="name one")
    return folder


def plan_scripts(builder: Path, directory: Path) -> Plan:
    """Plan the scripts that build and run what is staged of `directory`."""
    scripts: dict[PurePosixPath, Path] = {}
    for folder in (builder / "s2i" / "bin", directory / ".s2i" / "bin"):
        for path in walk_files(folder) if folder.is_dir() else ():
            check_script(path)
            scripts[PurePosixPath(path.relative_to(folder).as_posix())] = path
    return Plan(copies=scripts)


def check_script(path: Path) -> None:
    """Raise InputError for a script with Windows line ends."""
    before, ending, _ = path.read_bytes().partition(b"\r\n")
    if ending:
        line = before.count(b"\n") + 1
        raise InputError(
            f"{at(path, line)}: Windows line ends (CRLF), which bash reads as part of the commands",
            hint=f"save it with LF line ends: sed -i 's/\\r$//' {path}",
        )
