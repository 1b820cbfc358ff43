"""What other people's files set, and what comes of it: names, addresses and packages as they were asked for."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.workspace import ModelDirectory
from tests.integration.tiny_workspace import Tiny, free_port, tiny_workspace

pytestmark = pytest.mark.integration
SERVER = {"GUNICORN_CMD_ARGS": "--bind 127.0.0.1:1 --workers 9", "FLASK_DEBUG": "1", "WEB_CONCURRENCY": "9"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """One project with one model."""
    with tiny_workspace(tmp_path_factory.mktemp("foreign")) as tiny:
        tiny.add_model("income", "rf")
        tiny.succeed("modelyard", "data", "projects")
        yield tiny


@pytest.fixture
def model(tiny: Tiny) -> ModelDirectory:
    """The model directory."""
    return ModelDirectory(tiny.workspace.projects_root / "income" / "rf")


def test_a_comment_behind_a_value_of_a_makefile_adds_no_blanks_to_it(tiny, model):
    makefile = model.path / "Makefile"
    names = ("MODEL_NAME", "DATASET_NAME", "CONTAINER_NAME")
    lines = [f"{line}   # ours" if line.startswith(names) else line for line in makefile.read_text().splitlines()]
    makefile.write_text("\n".join(["LOCKED = 0   # not yet", *lines, ""]))
    tiny.succeed("make", "-C", str(model.path), "train")
    assert sorted(path.name for path in (model.path.parent / "models").iterdir()) == ["income_rf.json", "income_rf.txt"]
    assert "income-rf-train:latest" in json.loads(tiny.succeed("modelyard", "images", "--json"))[0]["tags"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no sockets for IPv4 and IPv6 at once")
def test_every_address_is_served_and_asked_whatever_the_servers_programs_are_told(tiny, model):
    environment = model.path / ".s2i" / "environment"
    environment.write_text(environment.read_text() + "".join(f"{name}={value}\n" for name, value in SERVER.items()))
    tiny.succeed("modelyard", "train", "projects/income/rf", "--reuse")
    port = free_port()
    said = tiny.succeed("modelyard", "serve", "projects/income/rf", "--host", "::", "--port", str(port))
    assert f"POST http://[::1]:{port}/income-rf" in said
    for host in ("::", "::1", "127.0.0.1", "0.0.0.0"):
        answer = tiny.succeed("modelyard", "test", "projects/income/rf", "--host", host, "--port", str(port))
        assert '"predictions": [0.0, 2.0]' in answer
    log = tiny.succeed("modelyard", "logs", "income-rf")
    assert f"the gateway does not get {', '.join(sorted(SERVER))}" in log
    taken = tiny.fail(
        "modelyard", "serve", "projects/income/rf", "--name", "other", "--host", "::", "--port", str(port), code=7
    )
    assert f"port {port} on :: is taken" in taken
    tiny.succeed("modelyard", "stop", "income-rf")


@pytest.mark.parametrize("name", ["pyproject.toml", "uv.toml"])
def test_a_file_of_the_current_folder_does_not_decide_what_is_installed(tiny, model, tmp_path, name):
    head = '[project]\nname = "mine"\nversion = "1"\n\n[tool.uv]\n' if name == "pyproject.toml" else ""
    (tiny.workspace.root / name).write_text(f"{head}no-such-setting = [\n")
    try:
        (model.path / "requirements_train.txt").write_text("six\n")
        tiny.succeed("modelyard", "build", "projects/income/rf", "train", MODELYARD_HOME=str(tmp_path / "home"))
    finally:
        (tiny.workspace.root / name).unlink()
        (model.path / "requirements_train.txt").unlink()
    assert list(Path(tmp_path / "home").glob("environments/*/default/lib/python3*/site-packages/six.py"))
