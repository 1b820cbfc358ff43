"""This repository's own projects, in workspaces of their own."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_project(project: str, root: Path) -> Path:
    """Make a workspace at `root` with one project in it (projects/<name>), and nothing made yet; return `root`."""
    unwanted = shutil.ignore_patterns("data", "models", "__pycache__", "all")
    for name in ("builders", "common_utils", "utils", project):
        shutil.copytree(ROOT / name, root / name, ignore=unwanted)
    shutil.copy(ROOT / "projects" / "recipes.mk", root / "projects")
    return root
