"""`modelyard serve --watch`: what is saved is served."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.integration.tiny_workspace import Tiny, free_port, tiny_workspace, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """One project with one trained model."""
    with tiny_workspace(tmp_path_factory.mktemp("watch")) as tiny:
        model = tiny.add_model("income", "rf")
        tiny.succeed("modelyard", "data", "projects")
        tiny.succeed("modelyard", "train", str(model.path))
        yield tiny


def ask(port: int) -> object:
    """What the model says of 3; None while nobody answers."""
    request = Request(f"http://127.0.0.1:{port}/income-rf", b'{"instances": [3]}', {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=5) as response:
            return json.load(response)["predictions"]
    except OSError:
        return None


def list_children(pid: int) -> str:
    """The command lines of a process's children."""
    return subprocess.run(["ps", "-wwo", "args=", "--ppid", str(pid)], capture_output=True, text=True).stdout


def test_what_is_saved_is_served(tiny: Tiny) -> None:
    port = free_port()
    predict = tiny.workspace.projects_root / "income" / "rf" / "predict.py"
    output = Path(tiny.environ["TMPDIR"], "output")
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["modelyard", "serve", str(predict.parent), "--watch", "--port", str(port)],
            cwd=tiny.workspace.root,
            env=tiny.environ,
            stdout=file,
            stderr=file,
        )
    try:
        wait_for(lambda: ask(port) == [0.0])
        pid = tiny.running()[0]["pid"]
        wait_for(lambda: "modelyard.runtime.worker.forkserver" in list_children(pid))  # none waits for libraries again
        text = predict.read_text()
        predict.write_text(text.replace("[x - mean for x", "[mean - x + 7 for x"))
        wait_for(lambda: ask(port) == [7.0])
        wait_for(lambda: "loaded again in" in output.read_text())
        predict.write_text("import nowhere\n" + text)
        wait_for(lambda: "what served before serves on" in output.read_text())
        assert ask(port) == [7.0]
        predict.write_text(text)
        wait_for(lambda: ask(port) == [0.0])
        assert tiny.running()[0]["pid"] == pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert tiny.running() == []
