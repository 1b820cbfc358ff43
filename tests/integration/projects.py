"""This repository's own projects, in workspaces of their own, and the variables to run its commands with there."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_project(project: str, root: Path) -> Path:
    """Make a workspace at `root` with one project in it (projects/<name>), and nothing made yet; return `root`."""
    unwanted = shutil.ignore_patterns("data", "models", "__pycache__", "all")
    for name in ("builders", "common_utils", "kubeml", "utils", project):
        shutil.copytree(ROOT / name, root / name, ignore=unwanted)
    shutil.copy(ROOT / "projects" / "recipes.mk", root / "projects")
    return root


def command_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables `environ`, with our commands on PATH and nothing of a make that runs the tests."""
    kept = {name: value for name, value in environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
