"""A staging plan: which file goes where in the application source, decided before anything is written."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modelyard.context.ignore import IGNORE_FILE, IgnoreRules
from modelyard.errors import InputError

# Never staged, wherever they lie.
_JUNK = frozenset(
    {".git", "__pycache__", ".DS_Store", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
)


@dataclass
class Plan:
    """Files to copy and texts to write, by their path in the application source."""

    copies: dict[PurePosixPath, Path] = field(default_factory=dict)
    texts: dict[PurePosixPath, str] = field(default_factory=dict)

    def copy(self, source: Path, target: PurePosixPath) -> None:
        """Plan to copy a file; raise InputError naming both where another file already goes there."""
        other = self.copies.setdefault(target, source)
        if other != source:
            raise InputError(
                f"{other} and {source} both belong at {target} of the application source",
                hint="give one of the two another name, or leave it out with .s2iignore",
            )

    def copy_tree(self, folder: Path, target: PurePosixPath, rules: IgnoreRules = IgnoreRules()) -> None:  # noqa: B008
        """Plan to copy what a folder holds, without what is never staged and what `rules` ignore."""
        for path in walk_files(folder, rules):
            self.copy(path, target / path.relative_to(folder).as_posix())

    def write(self, target: PurePosixPath, text: str) -> None:
        """Plan to write a text, in place of a file that would be copied there."""
        self.copies.pop(target, None)
        self.texts[target] = text

    def add_packages(self) -> None:
        """Make every folder above a planned module a package: plan the `__init__.py` that are missing."""
        modules = [path for path in (*self.copies, *self.texts) if path.suffix == ".py"]
        for folder in {parent for module in modules for parent in module.parents if parent.name}:
            if folder / "__init__.py" not in self.copies:
                self.texts[folder / "__init__.py"] = ""

    def check_modules(self) -> None:
        """Raise InputError for a module that a package of the same name would hide."""
        packages = {path.parent for path in (*self.copies, *self.texts) if path.name == "__init__.py"}
        for path in self.copies:
            if path.suffix == ".py" and path.with_suffix("") in packages:
                raise InputError(
                    f"{path} and the package {path.with_suffix('')}/ both belong into the application source, "
                    "and Python would only ever import the package",
                    hint="name the module otherwise in ROUTES or TRAIN_MODULE",
                )

    def apply(self, root: Path) -> None:
        """Do it below `root`."""
        for target, source in sorted(self.copies.items()):
            path = root / target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
            path.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
        for target, text in sorted(self.texts.items()):
            path = root / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def walk_files(folder: Path, rules: IgnoreRules = IgnoreRules()) -> Iterator[Path]:  # noqa: B008
    """Yield the files of a folder that `rules` do not ignore, in sorted order, links followed.

    Pipes, sockets and devices are no files. Raises InputError for a link that leaves the folder, and for a name that is
    no UTF-8: no record, digest or answer could hold it.
    """
    return _walk(folder, folder, folder.resolve(), rules)


def _walk(folder: Path, root: Path, boundary: Path, rules: IgnoreRules) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _JUNK or path.suffix in {".pyc", ".pyo"}:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, root, boundary, rules)
            continue
        if rules.is_ignored(PurePosixPath(path.relative_to(root).as_posix())):
            continue
        _check_name(path, root)
        if path.is_symlink():
            _check_link(path, boundary)
        if path.is_dir():
            yield from _walk(path, root, boundary, rules)
        elif path.is_file():
            yield path


def _check_name(path: Path, root: Path) -> None:
    relative = path.relative_to(root)
    try:
        str(relative).encode()
    except UnicodeEncodeError:
        shown = str(relative).encode(errors="surrogateescape").decode(errors="backslashreplace")
        pattern = re.sub("[\udc80-\udcff]+", "*", str(relative))
        raise InputError(
            f"{root}/{shown}: a name that is no UTF-8 text",
            hint=f"rename it, or leave it out by a line in {root / IGNORE_FILE}: {pattern}",
        ) from None


def _check_link(path: Path, boundary: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (FileNotFoundError, RuntimeError, OSError):
        raise InputError(f"{path}: a link to {path.readlink()}, which is not there", hint="remove the link") from None
    if not target.is_relative_to(boundary):
        raise InputError(
            f"{path}: a link that leaves {boundary} (to {target})",
            hint="copy the file into the model directory, or leave the link out with .s2iignore",
        )
    if path.parent.resolve().is_relative_to(target):
        raise InputError(f"{path}: a link to a folder that holds it", hint="remove the link")
