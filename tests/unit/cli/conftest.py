"""The command line, called in this process."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from modelyard.cli import main
from modelyard.workspace import Workspace
from tests.unit.commands.conftest import FILES, MODEL
from tests.unit.commands.fakes import FakeEngine


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Modelyard = Callable[..., Done]


@pytest.fixture
def modelyard(capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path) -> Iterator[Modelyard]:
    """Run a command with a home of its own, and leave the signals of the process as they were."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    for variable in ("MODELYARD_PORT", "MODELYARD_HOST", "VARIANT", "DOCKER_HOST"):
        monkeypatch.delenv(variable, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Done(end.value.code, captured.out, captured.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def workspace(make_workspace, monkeypatch) -> Workspace:
    """A workspace of one model, with its model directory as the current folder."""
    made = make_workspace(FILES)
    monkeypatch.chdir(made.root / MODEL)
    return made


@pytest.fixture
def engine(monkeypatch) -> FakeEngine:
    """The engine that every command opens."""
    fake = FakeEngine()
    monkeypatch.setattr("modelyard.engines.open_engine", lambda *_: fake)
    return fake
