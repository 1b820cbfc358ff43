"""Searches by Optuna, from the command line, side by side; runs that MLflow hears of; flows in images."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flow_project import FLOW, FlowProject
from tests.integration.tiny_workspace import Tiny, free_port, tiny_workspace, wait_for

pytestmark = pytest.mark.integration
OPTUNA = FLOW.replace(
    "search: {over: [train.lr], metric: val_accuracy}",
    "search: {method: optuna, over: {train.lr: {min: 0.0, max: 1.0}}, metric: val_accuracy, trials: 6, seed: 3, "
    "pruner: median}",
)
needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="optuna is not installed: pip install 'modelyard[search]'"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Iterator[Tiny]:
    with tiny_workspace(tmp_path_factory.mktemp("searched")) as made:
        yield made


@pytest.fixture
def project(tiny, tmp_path) -> FlowProject:
    tiny.environ["FLOW_TRACE"] = str(tmp_path / "trace")
    return FlowProject.make(tiny)


@needs_optuna
class TestOptuna:
    def test_it_finds_better_values_and_prunes_bad_trials(self, project):
        project.write(flow_yaml=OPTUNA)
        run = project.run("--set", "train.epochs=4")
        trials = project.trials(run)
        assert len(trials) == 6
        assert {trial["state"] for trial in trials} <= {"succeeded", "pruned"}
        assert run["steps"]["train"]["search"]["best"] == next(t["number"] for t in trials if t["best"])
        pruned = [trial for trial in trials if trial["state"] == "pruned"]
        assert all(len(trial["curves"]["val_accuracy"]) < 4 for trial in pruned)
        assert project.run("--set", "train.epochs=4")["steps"]["train"]["state"] == "reused"

    def test_a_search_that_is_killed_goes_on_with_the_trials_that_it_has(self, project, tmp_path):
        project.write(flow_yaml=OPTUNA.replace(", pruner: median", "").replace("trials: 6", "trials: 4"))
        process = subprocess.Popen(
            ["modelyard", "flow", "run", "--set", "train.sleep=0.2"],
            cwd=project.path,
            env=project.tiny.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        trace = tmp_path / "trace"
        wait_for(lambda: trace.exists() and len(trace.read_text().splitlines()) == 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        started = [float(line.split()[1]) for line in trace.read_text().splitlines()]
        trials = project.trials(project.run("--set", "train.sleep=0.2"))
        assert [trial["state"] for trial in trials] == ["reused", "reused", "succeeded", "succeeded"]
        assert [trial["params"]["train.lr"] for trial in trials[:3]] == started


def test_trials_run_side_by_side(project):
    project.write(flow_yaml=FLOW.replace("metric: val_accuracy}", "metric: val_accuracy, parallel: 3}"))
    project.run("--set", "train.lr=[0.5]")  # the image is built
    run = project.run("--set", "train.sleep=0.5")
    trials = project.trials(run)
    step = run["steps"]["train"]
    assert [trial["state"] for trial in trials] == ["succeeded"] * 3
    assert step["seconds"] == pytest.approx(sum(trial["seconds"] for trial in trials), abs=0.01)


def test_tune_searches_from_the_command_line(project):
    options = ("--over", "train.lr=0.21,0.4", "--json")
    run = json.loads(project.tiny.succeed("modelyard", "tune", str(project.path), "train", *options))
    assert list(run["steps"]) == ["prep", "train"]
    assert [trial["params"] for trial in project.trials(run)] == [{"train.lr": 0.21}, {"train.lr": 0.4}]
    assert (project.path / "models/net.bin").read_text() == "0.21"


@pytest.fixture
def mlflow_server(tmp_path) -> Iterator[str]:
    """A server of MLflow's own on loopback."""
    missing = [name for name in ("mlflow", "flask_cors", "aiohttp") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"no server of MLflow here: {missing[0]} is not installed (pip install mlflow)")
    address = f"127.0.0.1:{free_port()}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        str(tmp_path / "store"),
        "--workers",
        "1",
    ]
    command += ["--artifacts-destination", str(tmp_path / "files"), "--host", "127.0.0.1", "--port", address[10:]]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command,
            env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: server.poll() is not None or answers(f"http://{address}/health"), seconds=90)
        if server.poll() is not None:
            pytest.skip(f"no server of MLflow here: {(tmp_path / 'log').read_text().splitlines()[-1]}")
        yield f"http://{address}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=2).status == 200)
    except OSError:
        return False


def ask(server: str, path: str, **body: object) -> dict[str, object]:
    request = urllib.request.Request(
        f"{server}/api/2.0/mlflow/{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    answer: dict[str, object] = json.loads(urllib.request.urlopen(request, timeout=20).read())
    return answer


def test_mlflow_has_the_run_and_its_trials(project, mlflow_server, tmp_path):
    project.tiny.environ["MLFLOW_TRACKING_URI"] = mlflow_server
    try:
        run = project.run()
    finally:
        del project.tiny.environ["MLFLOW_TRACKING_URI"]
    with urllib.request.urlopen(
        f"{mlflow_server}/api/2.0/mlflow/experiments/get-by-name?experiment_name=pictures", timeout=20
    ) as answer:
        experiment = json.loads(answer.read())["experiment"]["experiment_id"]
    found = ask(mlflow_server, "runs/search", experiment_ids=[experiment])["runs"]
    tags = [{tag["key"]: tag["value"] for tag in each["data"]["tags"]} for each in found]
    parent = next(each for each, tag in zip(found, tags, strict=True) if tag.get("modelyard.run") == run["id"])
    metrics = {metric["key"]: metric["value"] for metric in parent["data"]["metrics"]}
    params = {param["key"]: param["value"] for param in parent["data"]["params"]}
    assert (metrics["train.val_accuracy"], params["train.epochs"]) == (1.0, "2")
    children = [tag for tag in tags if tag.get("mlflow.parentRunId") == parent["info"]["run_id"]]
    assert sorted(tag["modelyard.best"] for tag in children) == ["false", "false", "true"]
    assert [path.name for path in Path(tmp_path, "files").rglob("run.json")] == ["run.json"]


def test_a_server_that_does_not_answer_is_a_warning(project):
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("mlflow-skinny is not installed: pip install 'modelyard[mlflow]'")
    project.write(flow_yaml="steps:\n  a:\n    command: echo a\n")
    uri = f"http://127.0.0.1:{free_port()}"
    done = project.tiny.run("modelyard", "flow", "run", str(project.path), MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0
    assert "warning: MLflow did not take run" in done.stderr
