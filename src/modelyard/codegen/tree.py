"""Generated files as a value: planned without touching disk, then compared with what is there, or written."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path, PurePosixPath

from modelyard.errors import StaleError


@dataclass(frozen=True)
class GeneratedFile:
    """The text of one file, and whether it may be executed."""

    text: str
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class GeneratedTree:
    """Files to stand below `root`; `absent` are those that must not, `notes` what a person should know."""

    root: Path
    files: Mapping[PurePosixPath, GeneratedFile]
    absent: tuple[PurePosixPath, ...] = ()
    notes: tuple[str, ...] = ()


def write_tree(tree: GeneratedTree) -> tuple[Path, ...]:
    """Make the files below the tree's root what the tree says; return the paths that changed, in sorted order.

    Each file is replaced whole or not at all; a file that is already right is not touched.
    """
    changed = tuple(tree.root / name for name in _stale_names(tree))
    for path in changed:
        file = tree.files.get(PurePosixPath(path.relative_to(tree.root)))
        if file is None:
            path.unlink()
            if path.parent != tree.root and not any(path.parent.iterdir()):
                path.parent.rmdir()
        else:
            _replace(path, file)
    return changed


def diff_tree(tree: GeneratedTree, *, relative_to: Path | None = None) -> str:
    """What `write_tree` would change, as a unified diff; empty where nothing would. Paths are from `relative_to`."""
    base = relative_to or tree.root
    return "".join(line for name in _stale_names(tree) for line in _diff_file(tree, name, base))


def check_tree(tree: GeneratedTree, *, relative_to: Path | None = None) -> None:
    """Raise StaleError with the diff where the files below the tree's root are not what the tree says."""
    difference = diff_tree(tree, relative_to=relative_to)
    if difference:
        raise StaleError(
            f"{tree.root} is not what would be generated now:\n{difference.rstrip()}",
            hint=f"write it again, and commit it: modelyard generate {tree.root}",
        )


def _stale_names(tree: GeneratedTree) -> Iterator[PurePosixPath]:
    for name in sorted({*tree.files, *tree.absent}):
        if _read(tree.root / name) != tree.files.get(name):
            yield name


def _read(path: Path) -> GeneratedFile | None:
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return GeneratedFile(text, executable=bool(path.stat().st_mode & 0o100))


def _diff_file(tree: GeneratedTree, name: PurePosixPath, base: Path) -> Iterator[str]:
    before, after = _read(tree.root / name), tree.files.get(name)
    shown = os.path.relpath(tree.root / name, base)
    if before and after and before.executable != after.executable:
        yield f"{shown}: mode {_mode(before):o} -> {_mode(after):o}\n"
    lines = unified_diff(
        before.text.splitlines(keepends=True) if before else [],
        after.text.splitlines(keepends=True) if after else [],
        f"a/{shown}" if before else "/dev/null",
        f"b/{shown}" if after else "/dev/null",
    )
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _replace(path: Path, file: GeneratedFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(file.text, encoding="utf-8", newline="")
        part.chmod(_mode(file))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _mode(file: GeneratedFile) -> int:
    return 0o755 if file.executable else 0o644
