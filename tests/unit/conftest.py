"""A unit test starts no process, and tries a property on few examples unless `--hypothesis-profile` says how many."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# No deadline: a busy machine makes an example slow and nothing wrong.
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
STARTS = {"os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen"}


def pytest_configure(config: pytest.Config) -> None:
    """Choose the examples of this run."""
    if not config.getoption("hypothesis_profile", None):
        settings.load_profile("quick")


class StartWatch:
    """Notes which processes this one starts, while it is told to."""

    def __init__(self) -> None:
        self.started: list[str] | None = None
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note one event of the interpreter."""
        if self.started is not None and event in STARTS:
            self.started.append(f"{event} {arguments[:2]}")


@pytest.fixture(scope="session")
def start_watch() -> StartWatch:
    """The one watch: an audit hook cannot be taken away again."""
    return StartWatch()


@pytest.fixture(autouse=True)
def start_no_process(start_watch: StartWatch) -> Iterator[None]:
    """Fail the test that starts a process: it belongs into tests/component, or the whole suite grows slow."""
    start_watch.started = started = []
    yield
    start_watch.started = None
    assert not started, f"a unit test starts no process (tests/component has those that do): {started}"
