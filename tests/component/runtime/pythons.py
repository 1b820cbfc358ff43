"""The Pythons of this machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def find_installed_python(version: str) -> str:
    """An interpreter of this version; the test is skipped where the machine has none that runs."""
    installed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions").glob(f"{version}.*/bin/python")
    found = [shutil.which(f"python{version}"), *map(str, installed)]
    for path in found:
        if path and not subprocess.run([path, "-c", ""], capture_output=True).returncode:
            return path
    pytest.skip(f"there is no Python {version} here")
