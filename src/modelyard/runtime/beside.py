"""Modules beside a model's code that a folder shared by all models would hide: `utils.py`, where there is `utils/`.

It runs under the Python of the model's own environment: the standard library only, of any Python from 3.9 on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

SHARED = ("common_utils", "utils", "kubeml")
"""The source roots that are copied into every application."""


def prefer_modules_beside(folder: Path, root: Path) -> None:
    """Let `import utils` find the file in `folder`, as it does there on a laptop; `utils.x` stays what is shared."""
    sys.meta_path.insert(0, _Beside(folder, root))


class _Beside:
    """A finder of the modules that are in `folder` as files, and at `root` as shared folders."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        if name not in SHARED:
            return None
        file, shared = self._folder / f"{name}.py", self._root / name
        if not file.is_file() or not shared.is_dir():
            return None
        return spec_from_file_location(name, file, submodule_search_locations=[str(shared)])
