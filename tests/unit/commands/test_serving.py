import json
import os
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from modelyard.commands.building import BuildRequest
from modelyard.commands.serving import ServeRequest, gather_models, serve
from modelyard.errors import InputError, PortTakenError, RunError
from tests.conftest import write_files
from tests.unit.commands.fakes import make_container

READY = [{"route": "income-rf", "state": "ready", "reason": None}]
LOADING = [{"route": "income-rf", "state": "starting", "reason": None}]
FAILED = [{"route": "income-rf", "state": "failed", "reason": "FileNotFoundError: models/income_rf.bin"}]


class Daemon(ThreadingHTTPServer):
    """Answers GET /routes with one after the other of `states`, and then with the last for ever.

    GET /readyz is 200 where `is_ready`.
    """

    states: list[Any]
    is_ready = False
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    server: Daemon

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self.answer(200 if self.server.is_ready else 503, {"ready": self.server.is_ready})
            return
        state = self.server.states.pop(0) if len(self.server.states) > 1 else self.server.states[0]
        self.answer(200 if state else 503, {"routes": state})

    def answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon that the fake engine's containers pretend to be."""
    server = Daemon(("127.0.0.1", 0), Handler)
    server.states = [READY]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def request_(workspace, model, daemon) -> ServeRequest:
    build = BuildRequest(workspace=workspace, subject=model, kind="predict")
    return ServeRequest(build=build, port=daemon.server_port, timeout=5.0)


def test_it_returns_when_every_route_is_ready(request_, daemon, engine, reporter):
    daemon.states = [None, LOADING, LOADING, READY]
    container = serve(request_, engine, reporter)
    assert (container.name, container.port) == ("income-rf", daemon.server_port)
    assert daemon.states == [READY]
    assert reporter.lines.count("waiting for income-rf") == 1
    assert reporter.lines[-1] == f"income-rf is ready on http://127.0.0.1:{daemon.server_port}"
    assert engine.calls == ["build income-rf-predict", "serve income-rf"]


def test_the_container_gets_what_the_caller_sets(request_, engine, reporter):
    serve(replace(request_, environment={"QUEUE_SIZE": "3", "MODEL_NAME": "other"}), engine, reporter)
    assert engine.spec.environment == {"MODEL_NAME": "other", "MODElNAME": "income_rf", "QUEUE_SIZE": "3"}


def test_the_container_gets_the_model_s_name_and_the_models_read_only(request_, engine, reporter):
    serve(request_, engine, reporter)
    assert engine.spec.environment == {"MODEL_NAME": "income_rf", "MODElNAME": "income_rf"}
    [mount] = engine.spec.mounts
    assert (mount.source, mount.target, mount.read_only) == (
        request_.build.subject.path.parent / "models",
        "models",
        True,
    )
    serve(replace(request_, model_name="other"), engine, reporter)
    assert engine.spec.environment["MODEL_NAME"] == "other"


def test_a_name_that_no_engine_takes_is_told_before_anything_is_built(request_, engine, reporter):
    with pytest.raises(InputError, match=r"option --name: 'a/b' is no name of a container"):
        serve(replace(request_, name="a/b"), engine, reporter)
    assert engine.calls == []


def test_a_route_that_cannot_load_stops_the_container_and_says_why(request_, daemon, engine, reporter):
    daemon.states = [LOADING, FAILED]
    with pytest.raises(RunError, match=r"/income-rf: FileNotFoundError: models/income_rf\.bin") as error:
        serve(request_, engine, reporter)
    assert "make train" in error.value.hint and "READY=any" not in error.value.hint
    assert engine.containers() == ()


def test_a_reason_that_is_not_the_model_binary_leads_to_the_log(request_, daemon, engine, reporter):
    ready = [{"route": "other", "state": "ready", "reason": None}]
    daemon.states = [LOADING, [*ready, {**FAILED[0], "reason": "DeviceError: device 'gpu': expected auto"}]]
    with pytest.raises(RunError, match="1 of 2 routes") as error:
        serve(request_, engine, reporter)
    name = request_.container_name
    assert error.value.hint == f"the whole traceback: modelyard logs {name}; READY=any serves the others without it"


def test_a_reason_that_brings_its_hint_gets_no_second_one(request_, daemon, engine, reporter):
    reason = "ModelBinaryError: models/rf.ubj: not the file that was saved   hint: copy it again"
    daemon.states = [LOADING, [{**FAILED[0], "reason": reason}]]
    with pytest.raises(RunError, match="hint: copy it again") as error:
        serve(request_, engine, reporter)
    assert error.value.hint is None


def test_where_the_daemon_is_ready_without_a_route_that_cannot_load_it_stays_and_the_reason_is_told(
    request_, daemon, engine, reporter
):
    daemon.states, daemon.is_ready = [LOADING, FAILED], True
    container = serve(request_, engine, reporter)
    assert [running.name for running in engine.containers()] == [container.name]
    assert "1 of 1 routes cannot be served:\n  /income-rf: FileNotFoundError: models/income_rf.bin" in reporter.lines


def test_a_container_that_ended_shows_its_log(request_, engine, reporter):
    engine.exits_with, engine.log = 3, ["starting", "ImportError: no module named income"]
    with pytest.raises(RunError, match="income-rf exited with 3:\n  starting\n  ImportError: no module named income"):
        serve(request_, engine, reporter)


def test_a_daemon_that_is_never_ready_is_stopped(request_, daemon, engine, reporter):
    daemon.states, engine.log = [LOADING], ["still loading"]
    with pytest.raises(RunError, match="was not ready after 0 s:\n  still loading"):
        serve(replace(request_, timeout=0.2), engine, reporter)
    assert engine.containers() == ()


def test_ctrl_c_while_waiting_stops_the_container(request_, daemon, engine, reporter, monkeypatch):
    def interrupt(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "container", interrupt)
    with pytest.raises(KeyboardInterrupt):
        serve(request_, engine, reporter)
    assert engine.containers() == ()


def test_a_running_container_of_that_name_is_replaced_even_by_its_like(request_, engine, reporter):
    serve(request_, engine, reporter)
    serve(replace(request_, model_name="other"), engine, reporter)
    assert engine.calls[-3:] == ["build income-rf-predict", "stop income-rf", "serve income-rf"]
    engine.serving["another"] = make_container("another")
    serve(request_, engine, reporter)
    assert "stop another" not in engine.calls


def test_a_running_daemon_is_left_alone_where_the_port_of_the_new_one_is_taken(request_, engine, reporter):
    serve(request_, engine, reporter)
    engine.serving["another"] = make_container("another", port=4999)
    calls = list(engine.calls)
    with pytest.raises(PortTakenError):
        serve(replace(request_, port=4999), engine, reporter)
    assert engine.calls == calls


def test_a_running_daemon_is_left_alone_where_the_models_of_the_new_one_clash(
    two_projects, workspace, request_, engine, reporter
):
    from modelyard.commands.generating import generate_all

    list(generate_all(workspace, workspace.root, offline=True, reporter=reporter))
    combined = workspace.combined_directory(workspace.projects_root)
    both = replace(request_, build=replace(request_.build, subject=combined))
    serve(both, engine, reporter)
    write_files(workspace.root, {"projects/tumor/models/income_rf.bin": "another"})
    with pytest.raises(InputError, match=r"differ, but one daemon would serve both"):
        serve(both, engine, reporter)
    assert engine.calls[-1] == "build all-predict" and engine.containers()


@pytest.mark.parametrize(("key", "value"), [("QUEUE_SIZE", "many"), ("DEFAULT_ROUTE", "nowhere")])
def test_a_running_daemon_is_left_alone_where_the_new_one_would_not_start(request_, engine, reporter, key, value):
    serve(request_, engine, reporter)
    with pytest.raises(InputError, match=f"^option -e: {key} is '{value}'"):
        serve(replace(request_, environment={key: value}), engine, reporter)
    path = request_.build.subject.path / ".s2i/environment"
    path.write_text(f"{path.read_text()}{key}={value}\n")
    subject = request_.build.workspace.model_directory(request_.build.subject.path)
    with pytest.raises(InputError, match=rf"^{path}:\d+: {key} is '{value}'"):
        serve(replace(request_, build=replace(request_.build, subject=subject)), engine, reporter)
    with pytest.raises(InputError, match=r"^option -e: item 1 of ROUTES 'x' is not route:module:function"):
        serve(replace(request_, environment={"ROUTES": "x"}), engine, reporter)
    assert "stop income-rf" not in engine.calls


def test_a_taken_port_is_the_engine_s_error(request_, engine, reporter, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PortTakenError("port 5111 on 127.0.0.1 is taken")

    monkeypatch.setattr(engine, "start", refuse)
    with pytest.raises(PortTakenError):
        serve(request_, engine, reporter)


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.7", "10.0.0.7")])
def test_a_daemon_on_every_address_is_asked_at_the_machine_s_own(request_, host, asked):
    assert replace(request_, host=host).endpoint.host == asked


class TestGatherModels:
    def test_the_files_of_every_folder_are_linked(self, tmp_path):
        write_files(tmp_path, {"a/x.bin": "x", "a/.x.bin.1.part": "half", "b/y.bin": "y", "b/sub/z": "z"})
        folder = gather_models([tmp_path / "a", tmp_path / "b", tmp_path / "none"], tmp_path / "all" / "models")
        assert sorted(path.name for path in folder.iterdir()) == ["x.bin", "y.bin"]
        assert (folder / "x.bin").samefile(tmp_path / "a" / "x.bin")

    def test_what_was_removed_since_is_gone(self, tmp_path):
        write_files(tmp_path, {"a/x.bin": "x", "models/old.bin": "old"})
        folder = gather_models([tmp_path / "a"], tmp_path / "models")
        assert [path.name for path in folder.iterdir()] == ["x.bin"]

    def test_equal_files_of_one_name_are_one(self, tmp_path):
        write_files(tmp_path, {"a/x.bin": "x", "b/x.bin": "x"})
        folder = gather_models([tmp_path / "a", tmp_path / "b"], tmp_path / "models")
        assert [path.name for path in folder.iterdir()] == ["x.bin"]

    def test_what_models_are_trained_further_by_is_left_out(self, tmp_path):
        files = ("metaData-models.json", "mainModel.pth", "{name}.pth")
        write_files(tmp_path, {f"{name}/{file.format(name=name)}": name for name in "ab" for file in files})
        folder = gather_models([tmp_path / "a", tmp_path / "b"], tmp_path / "models")
        assert sorted(path.name for path in folder.iterdir()) == ["a.pth", "b.pth"]

    def test_different_files_of_one_name_are_an_error_that_names_both(self, tmp_path):
        write_files(tmp_path, {"a/x.bin": "1", "b/x.bin": "2", "models/x.bin": "1"})
        with pytest.raises(InputError, match=r"a/x\.bin and .*b/x\.bin differ"):
            gather_models([tmp_path / "a", tmp_path / "b"], tmp_path / "models")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "models"]
        assert (tmp_path / "models" / "x.bin").read_text() == "1"

    def test_where_links_are_impossible_it_copies(self, tmp_path, monkeypatch):
        def refuse(*_: object) -> None:
            raise OSError("Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
        write_files(tmp_path, {"a/x.bin": "x"})
        folder = gather_models([tmp_path / "a"], tmp_path / "models")
        assert (folder / "x.bin").read_text() == "x"
        assert not (folder / "x.bin").samefile(tmp_path / "a" / "x.bin")


@pytest.fixture
def two_projects(workspace) -> None:
    """A second project with a model, and a binary in each."""
    other = "projects/tumor/svm"
    files = {
        f"{other}/.s2i/environment": "ROUTES=tumor-svm:tumor.svm.predict:predict\n",
        f"{other}/predict.py": "def predict(msg):\n    return {}\n",
        f"{other}/test/test_instances.json": "[1]",
        "projects/tumor/models/tumor_svm.bin": "svm",
        "projects/income/models/income_rf.bin": "rf",
    }
    write_files(workspace.root, files)


def test_a_daemon_of_every_project_mounts_the_binaries_of_all_and_names_no_model(
    two_projects, workspace, request_, engine, reporter
):
    from modelyard.commands.generating import generate_all

    list(generate_all(workspace, workspace.root, offline=True, reporter=reporter))
    combined = workspace.combined_directory(workspace.projects_root)
    build = BuildRequest(workspace=workspace, subject=combined, kind="predict")
    serve(replace(request_, build=build), engine, reporter)
    [mount] = engine.spec.mounts
    assert sorted(path.name for path in mount.source.iterdir()) == ["income_rf.bin", "tumor_svm.bin"]
    assert engine.spec.environment == {}
