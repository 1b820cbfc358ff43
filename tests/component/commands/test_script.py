import os
import time
from pathlib import Path

import pytest

from modelyard.commands.script import run_script
from modelyard.errors import RunError
from modelyard.machine.processes import start_time

# Starts a child, and cleans up when asked to end; the child holds the output open for a moment longer.
CLEANS_UP = """\
trap 'sleep 0.1; touch {folder}/cleaned; exit 1' TERM
sleep 600 &
echo $!
wait
"""


def test_lines_are_passed_on_and_the_exit_code_returned(tmp_path):
    lines: list[str] = []
    script = "echo one; echo two >&2; echo $GREETING; exit 4"
    code = run_script(["bash", "-c", script], environ={**os.environ, "GREETING": "hello"}, output=lines.append)
    assert (code, lines) == (4, ["one", "two", "hello"])


def test_an_interrupted_caller_ends_the_script_and_its_children_which_clean_up(tmp_path):
    children: list[int] = []

    def interrupt(line: str) -> None:
        children.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_script(["bash", "-c", CLEANS_UP.format(folder=tmp_path)], environ=os.environ, output=interrupt)
    assert (tmp_path / "cleaned").exists()
    deadline = time.monotonic() + 5
    while start_time(children[0]):
        assert time.monotonic() < deadline, "the child goes on"


def test_one_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr("modelyard.commands.script._GRACE", 0.1)
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        script = "trap '' TERM; echo $$; while true; do sleep 0.01; done"
        run_script(["bash", "-c", script], environ=os.environ, output=interrupt)
    assert start_time(pids[0]) is None


def test_one_that_cannot_be_started_is_an_error(tmp_path: Path):
    with pytest.raises(RunError, match="nowhere can't be run: No such file"):
        run_script([str(tmp_path / "nowhere")], environ={}, output=print)
