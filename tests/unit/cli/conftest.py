"""The command line, called in this process."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from modelyard.cli import main


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
