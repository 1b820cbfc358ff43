"""Trainings in the background: they outlive the terminal and whoever attends to them, and say truly how they stand."""

import json
import os
import re
import secrets
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_files
from tests.integration.conftest import ENGINES
from tests.integration.tiny_workspace import Tiny, tiny_workspace, wait_for

pytestmark = pytest.mark.integration

# Behaves as a kubeml training does: tells epochs, goes on where it was, finishes its round at SIGTERM.
TRAIN = '''\
import json
import os
import signal
import sys
import time
from pathlib import Path


def tell(**event):
    with open(os.environ["MODELYARD_EVENTS"], "a") as file:
        file.write(json.dumps({"time": time.time(), **event}) + "\\n")


def train(msg):
    """Count epochs; `pause` is the time of one, `fail` the epoch that fails."""
    asked = []
    if msg.payload.get("listens", True):
        signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    epochs, name = msg.payload["epochs"], msg.payload["model_name"]
    kept = Path("models", f"{name}.kept")
    done = int(kept.read_text()) if kept.exists() else 0
    tell(event="start", task=msg.payload, samples=10)
    for epoch in range(done + 1, epochs + 1):
        if epoch == msg.payload.get("fail"):
            raise RuntimeError("no convergence")
        time.sleep(msg.payload.get("pause", 0))
        print("epoch", epoch, flush=True)
        kept.write_text(str(epoch))
        tell(event="epoch", epoch=epoch, train_loss=1 / epoch, validation_loss=2 / epoch, accuracy=1 - 1 / epoch,
             parallelism=2, seconds=0.5, samples=10)
        if asked:
            tell(event="end", status="stopped", reason="asked to")
            return {"epochs": epoch}
    kept.unlink()
    tell(event="end", status="finished")
    return {"epochs": epochs}
'''
FILES = {
    "train.py": TRAIN,
    "Makefile": "MODEL_NAME = counted\n",
    ".s2i/environment": "TRAIN_MODULE=background.counting.train\n",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A workspace whose one model trains for as long as it is told to."""
    with tiny_workspace(tmp_path_factory.mktemp("jobs")) as tiny:
        write_files(tiny.workspace.projects_root / "background/counting", FILES)
        yield tiny


class Jobs:
    """The commands, on one engine."""

    def __init__(self, tiny: Tiny, environ: Mapping[str, str]) -> None:
        self.tiny = tiny
        self.environ = dict(environ)

    def run(self, *command: str) -> str:
        """Run a command that must succeed; what it prints."""
        return self.tiny.succeed("modelyard", *command, **self.environ)

    def start(self, **payload: Any) -> str:
        """Start a training; its id."""
        content = {"model_name": f"counted{secrets.token_hex(3)}", **payload}
        out = self.run("train", "background/counting", "--detach", "--payload", json.dumps(content))
        assert re.fullmatch(r"[0-9a-f]{8}\n", out), out  # scripts take it as it is
        return out.strip()

    def show(self, id: str) -> dict[str, Any]:
        """Everything about a job."""
        shown: dict[str, Any] = json.loads(self.run("job", "show", id, "--json"))
        return shown

    def file(self, id: str, name: str) -> Path:
        """A file of a job's folder."""
        return self.tiny.workspace.projects_root / "background/runs" / id / name

    def wait(self, id: str, state: str) -> dict[str, Any]:
        """Wait for a state, looking at the record alone."""
        wait_for(lambda: json.loads(self.file(id, "job.json").read_text())["state"] == state, seconds=60)
        return self.show(id)

    def wait_for_epoch(self, id: str, epoch: int) -> None:
        """Wait until the training has told of an epoch."""
        wait_for(lambda: f'"epoch": {epoch},' in self.file(id, "events.jsonl").read_text(), seconds=60)

    def kill_watcher(self, id: str) -> None:
        """Kill what attends to a job."""
        os.kill(json.loads(self.file(id, "job.json").read_text())["watcher"], signal.SIGKILL)

    def containers(self) -> list[str]:
        """Those of jobs, ended ones as well."""
        return [one["name"] for one in json.loads(self.run("ps", "--all", "--json")) if one["name"].startswith("job-")]


@pytest.fixture(scope="module")
def jobs(tiny: Tiny) -> Jobs:
    """On the embedded engine."""
    return Jobs(tiny, {})


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_is_followed_left_alone_stopped_and_resumed(engine: str, tiny: Tiny, request: pytest.FixtureRequest):
    leads = {} if engine == "local" else request.getfixturevalue("image_engines")(engine)
    names = {"MODELYARD_ENGINE": engine, "MODELYARD_NAMESPACE": f"jobs-{secrets.token_hex(4)}"}
    jobs = Jobs(tiny, {**leads, **names})
    try:
        id = jobs.start(epochs=400, pause=0.05)
        jobs.wait_for_epoch(id, 2)
        assert jobs.show(id)["state"] == "running"
        jobs.kill_watcher(id)
        log = jobs.file(id, "log").read_text()
        assert jobs.show(id)["state"] == "running"  # somebody else attends to it now
        wait_for(lambda: len(jobs.file(id, "log").read_text()) > len(log) + 20)
        assert "running" in jobs.run("job", "list")
        assert jobs.run("job", "stop", id) == f"{id} stopped: asked to\n"
        stopped = jobs.show(id)
        assert (stopped["state"], stopped["exit_code"]) == ("stopped", 0)
        reached = stopped["last"]["epoch"]
        lines = [f"epoch {number}" for number in range(1, reached + 1)]
        assert jobs.run("job", "logs", id).splitlines() == lines  # each line once, though two kept the log
        assert jobs.containers() == []
        assert jobs.run("job", "resume", id) == f"{id}\n"
        jobs.wait_for_epoch(id, reached + 2)
        assert jobs.run("job", "stop", id[:7]).startswith(f"{id} stopped")
        resumed = jobs.show(id)
        lines += [f"epoch {number}" for number in range(reached + 1, resumed["last"]["epoch"] + 1)]
        assert jobs.run("job", "logs", id, "-f").splitlines() == lines
        assert resumed["starts"] == 2
    finally:
        if engine != "local":
            for image in json.loads(jobs.run("images", "--json")):
                jobs.run("rmi", image["id"])
            jobs.run("prune")


def test_a_finished_job_has_its_result_and_leaves_nothing_behind(jobs: Jobs):
    id = jobs.start(epochs=3)
    assert jobs.run("job", "logs", id, "-f").splitlines() == ["epoch 1", "epoch 2", "epoch 3"]
    shown = jobs.show(id)
    assert (shown["state"], shown["exit_code"], shown["result"]) == ("finished", 0, {"epochs": 3})
    assert shown["last"]["accuracy"] == pytest.approx(2 / 3)
    assert jobs.containers() == []
    assert sorted(path.name for path in jobs.file(id, ".").iterdir()) == [
        "events.jsonl",
        "job.json",
        "log",
        "metrics.prom",
        "watch.log",
    ]
    assert list(jobs.tiny.workspace.projects_root.glob("background/models/.*")) == []
    assert jobs.file(id, "metrics.prom").read_text() == jobs.run("history", "export", id, "--format", "prometheus")
    assert jobs.run("history", "show", id).splitlines()[-1].split()[:3] == ["3", "0.3333", "0.6667"]


def test_a_training_that_fails_shows_its_own_traceback(jobs: Jobs):
    id = jobs.start(epochs=3, fail=2)
    shown = jobs.wait(id, "failed")
    assert shown["exit_code"] == 1
    assert "RuntimeError: no convergence" in shown["reason"]
    assert "RuntimeError: no convergence" in jobs.run("job", "logs", id)


def test_a_training_that_does_not_listen_is_stopped_as_well(jobs: Jobs):
    id = jobs.start(epochs=400, pause=0.05, listens=False)
    jobs.wait_for_epoch(id, 1)
    assert jobs.run("job", "stop", id) == f"{id} stopped: it was asked to stop and ended at once, and saved nothing\n"


def test_what_is_killed_with_its_watcher_shows_its_true_state(jobs: Jobs):
    id = jobs.start(epochs=400, pause=0.05)
    jobs.wait_for_epoch(id, 1)
    (container,) = [one for one in json.loads(jobs.run("ps", "--json")) if id in one["name"]]
    record = json.loads((jobs.tiny.home / "containers" / container["id"] / "container.json").read_text())
    jobs.kill_watcher(id)
    for pid in (record["monitor"][0], record["pid"]):  # as when the machine goes down: nobody writes down anything
        os.kill(pid, signal.SIGKILL)
    shown = jobs.show(id)
    assert shown["state"] == "lost"
    assert "nobody saw how it ended" in shown["reason"]
    assert jobs.containers() == []
    assert jobs.run("job", "resume", id).strip() == id
    assert jobs.run("job", "stop", id).startswith(f"{id} stopped")


def test_two_jobs_share_the_cores_and_it_is_said(jobs: Jobs):
    first = jobs.start(epochs=400, pause=0.05)
    done = jobs.tiny.run(
        "modelyard",
        "train",
        "background/counting",
        "--detach",
        "--payload",
        '{"model_name": "other", "epochs": 400, "pause": 0.05}',
    )
    second = done.stdout.strip()
    assert f"1 other job ({first}) and this one share" in done.stderr
    assert second > first
    jobs.run("job", "stop", first, second)
    assert [jobs.show(id)["state"] for id in (first, second)] == ["stopped", "stopped"]


def test_what_cannot_be_done_says_so(jobs: Jobs):
    id = jobs.start(epochs=1)
    jobs.wait(id, "finished")
    assert "is finished" in jobs.tiny.fail("modelyard", "job", "resume", id, code=3)
    assert "there is no job 'nothing'" in jobs.tiny.fail("modelyard", "job", "show", "nothing", code=3)
    push = ("train", "background/counting", "--detach", "--push", "s3://bucket/name")
    assert "not for --detach" in jobs.tiny.fail("modelyard", *push, code=2)


def test_pruned_jobs_are_forgotten_and_running_ones_are_not(jobs: Jobs):
    ended, running = jobs.start(epochs=1), jobs.start(epochs=400, pause=0.05)
    jobs.wait(ended, "finished")
    (jobs.tiny.workspace.projects_root / "background/runs/a-flow").mkdir(exist_ok=True)
    pruned = jobs.run("job", "prune").split()
    assert ended in pruned
    assert running not in pruned
    assert [job["id"] for job in json.loads(jobs.run("job", "list", "--json"))] == [running]
    assert sorted(path.name for path in jobs.file(ended, ".").iterdir()) == ["events.jsonl", "history.json"]
    assert ended in jobs.run("history", "list", "--project", "background")
    assert jobs.run("history", "export", ended).splitlines()[1].startswith("1,1.0,2.0,0.0,2,0.5,10")
    assert f'kubeml_job_train_loss{{jobid="{ended}"}} 1.0' in jobs.run(
        "history", "export", ended, "--format", "prometheus"
    )
    assert "is running" in jobs.tiny.fail("modelyard", "history", "delete", ended, running, code=3)
    assert jobs.run("history", "delete", ended) == f"{ended}\n"
    assert not jobs.file(ended, ".").exists()
    jobs.run("job", "stop", running)
