"""Small real workspaces on disk, for every test."""

import os
import secrets
import shutil
import signal
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from benchmarks.processes import MARK, kill_marked
from modelyard.workspace import Workspace, find_workspace

REPOSITORY = Path(__file__).parent.parent
# What a test does not ask for by its name is the embedded engine, whatever else runs on the machine.
os.environ["MODELYARD_ENGINE"] = "local"
# A job in the background of a script ignores Ctrl-C, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
MakeWorkspace = Callable[[Mapping[str, str]], Workspace]


def pytest_configure() -> None:
    """Mark whatever the tests start, and end them as on Ctrl-C when they are told to stop."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    os.environ[MARK] = f"tests.{secrets.token_hex(8)}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End what tests have left behind, a run that was stopped most of all."""
    if "PYTEST_XDIST_WORKER" not in os.environ and MARK in os.environ:
        kill_marked(os.environ.pop(MARK))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites golden trees."""
    parser.addoption("--update-golden", action="store_true", help="write tests/golden again; review it as code")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden trees are to be written, not compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def make_workspace(tmp_path: Path) -> MakeWorkspace:
    """Make a workspace with the repository's builders and the files given by path and (dedented) text."""

    def make(files: Mapping[str, str]) -> Workspace:
        root = tmp_path / "workspace"
        root.mkdir(exist_ok=True)
        builders = root / "builders"
        if any(name.startswith("builders/") for name in files):
            if builders.is_symlink():
                builders.unlink()
            shutil.copytree(REPOSITORY / "builders", builders, dirs_exist_ok=True)
        elif not builders.exists():
            builders.symlink_to(REPOSITORY / "builders")  # which no test changes
        write_files(root, {"utils/__init__.py": "", "common_utils/__init__.py": "", **files})
        return find_workspace(root)

    return make


def write_files(root: Path, files: Mapping[str, str]) -> None:
    """Write files below `root`, by path and text; a text keeps its line ends and gets no final newline added."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8", newline="")
