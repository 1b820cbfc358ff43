"""The runtime as images carry it: `modelyard/__init__.py` and `modelyard/runtime/`, one copy for all."""

import shutil
from pathlib import Path

import modelyard.runtime
from modelyard.context.build_context import digest_tree
from modelyard.machine.home import Home, remove_tree

RUNTIME = Path(modelyard.runtime.__file__).parent
RECIPE = (
    "assembling/assemble.py",
    "groups.py",
    "assembling/installation.py",
    "assembling/pythons.py",
    "text_lines.py",
    "assembling/variants.py",
)
"""What of the runtime installs: the keys of environments depend on it."""


def digest_runtime() -> str:
    """The digest of this modelyard's runtime."""
    return digest_tree(RUNTIME)[:32]


def install_runtime(home: Home, digest: str) -> Path:
    """Put the runtime into a home unless it is there; return the folder that holds the package."""
    path = home.libs / digest
    if path.is_dir():
        return path
    with home.lock(f"lib-{digest}"):
        if not path.is_dir():
            part = home.libs / f".{digest}.part"
            remove_tree(part)
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(RUNTIME, part / "modelyard" / "runtime", ignore=ignored)
            shutil.copyfile(RUNTIME.parent / "__init__.py", part / "modelyard" / "__init__.py")
            part.rename(path)
    return path
