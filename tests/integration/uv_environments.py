"""Virtual environments for tests, made by uv: what a model's own requirements give, and pytest."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
# XGBoost asks for its multi-GPU collectives (300 MB), which nothing here needs.
OVERRIDES = "nvidia-nccl-cu12; sys_platform == 'never'\n"


def make_environment(folder: Path, requirements: list[str]) -> Path:
    """Make an environment in `folder`, install `requirements` and pytest, and return its Python."""
    overrides = folder.with_suffix(".overrides.txt")
    overrides.write_text(OVERRIDES)
    python = folder / "bin" / "python"
    run_uv("venv", "--quiet", "--python", sys.executable, str(folder))
    run_uv("pip", "install", "--quiet", "--python", str(python), "--override", str(overrides), "pytest", *requirements)
    return python


def run_uv(*arguments: str) -> None:
    """Run uv; on failure show what it said."""
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"uv {' '.join(arguments)}\n{done.stderr}"


def run_python(python: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the workspace, with utils, common_utils and the projects on its path."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "projects")])
    caches = str(python.parents[1] / "pycache")  # bytecode of the workspace stays out of the workspace
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": caches, **environ}
    return subprocess.run([python, *arguments], env=environment, capture_output=True, text=True, check=False)


def find_cpu_torch() -> Path | None:
    """Return the newest CPU wheel of torch in pip's find-links folder, if there is one for this Python."""
    folders = os.environ.get("PIP_FIND_LINKS", "").split() + _pip_find_links().split()
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}-"
    wheels = [wheel for folder in folders for wheel in Path(folder).glob("torch-*+cpu-*.whl") if tag in wheel.name]
    return max(wheels, default=None)


def _pip_find_links() -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
