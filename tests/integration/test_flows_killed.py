"""What is left of a flow when it is killed, interrupted or started twice, and what the next run makes of it."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flow_project import FlowProject
from tests.integration.tiny_workspace import Tiny, interrupt, runs, tiny_workspace, wait_for

pytestmark = pytest.mark.integration
KILLS = 30


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Iterator[Tiny]:
    with tiny_workspace(tmp_path_factory.mktemp("killed")) as made:
        yield made


@pytest.fixture
def project(tiny, tmp_path) -> FlowProject:
    tiny.environ["FLOW_TRACE"] = str(tmp_path / "trace")
    return FlowProject.make(tiny)


def start(project: FlowProject, *options: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["modelyard", "flow", "run", *options],
        cwd=project.path,
        env=project.tiny.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def trace(project: FlowProject) -> list[str]:
    path = Path(project.tiny.environ["FLOW_TRACE"])
    return path.read_text().splitlines() if path.exists() else []


def finished(project: FlowProject) -> set[str]:
    """The trials whose results are kept, as they name themselves in the trace."""
    results = [json.loads(path.read_text()) for path in project.path.glob("runs/steps/*.json")]
    return {
        f"{int(result['metrics']['rows'])} {result['basis']['params']['train']['lr']}"
        for result in results
        if result.get("step") == "train" and "trials" not in result
    }


def test_after_kills_at_any_moment_the_next_run_does_what_is_missing(project):
    project.run()  # the image is built
    begun = time.monotonic()
    project.run("--set", "data.copies=2")
    whole = time.monotonic() - begun
    chance = random.Random(7)
    for kill in range(KILLS):
        done, before = finished(project), len(trace(project))
        process = start(project, "--set", f"data.copies={3 + kill // 10}")
        time.sleep(chance.uniform(0, whole))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for record in project.path.glob("runs/**/[!.]*.json"):
            json.loads(record.read_text())
        assert done.isdisjoint(trace(project)[before:])
    done, before = finished(project), len(trace(project))
    for round in range(KILLS // 10):
        run = project.run("--set", f"data.copies={3 + round}")
        assert [trial["metric"] for trial in project.trials(run)] == [0.9, 1.0, 0.9]
    assert done.isdisjoint(trace(project)[before:])
    assert len(trace(project)[before:]) == 3 * (KILLS // 10) - len({line for line in done if int(line.split()[0]) >= 6})
    assert project.tiny.running() == []
    assert [path for path in project.path.glob("runs/*") if path.name.endswith(".part")] == []
    assert list(project.path.glob("runs/*/.work")) == []
    states = {json.loads(path.read_text())["state"] for path in project.path.glob("runs/*/run.json")}
    assert states <= {"succeeded", "interrupted"}


def test_killed_in_trial_5_of_9_exactly_5_are_run_afterwards(project):
    rates = [round(0.1 + number / 100, 2) for number in range(9)]
    options = ("--set", f"train.lr={rates}", "--set", "train.sleep=0.2")
    process = start(project, *options)
    wait_for(lambda: len(trace(project)) == 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = project.run(*options)
    assert [trial["state"] for trial in project.trials(run)] == ["reused"] * 4 + ["succeeded"] * 5
    assert len(trace(project)) == 5 + 5


def test_what_a_killed_run_has_started_is_stopped_by_the_next(project):
    process = start(project, "--set", "train.lr=[0.1]", "--set", "train.sleep=300.0")
    wait_for(lambda: trace(project))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(project.tiny.running()) == 1
    project.run()
    assert project.tiny.running() == []


def test_a_command_of_a_killed_run_is_stopped_by_the_next(project):
    project.write(flow_yaml="steps:\n  a:\n    command: sleep 301\n")
    process = start(project)
    wait_for(lambda: runs("sleep 301"))
    wait_for(lambda: list(project.path.glob("runs/*/.work/a/process.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    project.write(flow_yaml="steps:\n  a:\n    command: echo a\n")
    project.run()
    assert not runs("sleep 301")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_nothing_running(project, number):
    command = ["modelyard", "flow", "run", str(project.path), "--set", "train.lr=[0.1]", "--set", "train.sleep=302.0"]
    code, _ = interrupt(project.tiny, command, number, when=lambda: trace(project), to_group=True)
    assert code in (130, 128 + signal.SIGTERM)
    assert project.tiny.running() == []
    run = project.last_run()
    assert (run["state"], run["steps"]["train"]["state"]) == ("interrupted", "interrupted")
    assert project.trials(run)[0]["state"] == "interrupted"


def test_resume_goes_on_with_the_options_of_the_last_run(project):
    command = ["modelyard", "flow", "run", str(project.path), "--set", "train.lr=[0.15]", "--set", "train.sleep=1.0"]
    interrupt(project.tiny, command, signal.SIGINT, when=lambda: trace(project), to_group=True)
    resumed = json.loads(project.tiny.succeed("modelyard", "flow", "resume", "--json", cwd=project.path))
    assert {name: step["state"] for name, step in resumed["steps"].items()} == {
        "prep": "reused",
        "train": "succeeded",
        "count": resumed["steps"]["count"]["state"],
    }
    assert project.trials(resumed)[0]["params"] == {"train.lr": 0.15}


def test_a_second_run_of_a_flow_is_refused_and_says_who_goes_on(project):
    process = start(project, "--set", "train.lr=[0.1]", "--set", "train.sleep=303.0")
    try:
        wait_for(lambda: trace(project))
        assert f"a run of this flow (process {process.pid}) goes on" in project.fail("flow", "run", code=1)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def test_a_full_disk_is_an_error_and_the_next_run_goes_on(project, tmp_path):
    """The records lie on a file system of their own, of few bytes, which only this process and its children see."""
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=300k none {small} && mkdir -p {project.path}/runs {small}/runs && "
        f"mount --bind {small}/runs '{project.path}/runs' && cd '{project.path}' && "
        f"head -c 250000 /dev/zero > {small}/full; "
        "modelyard flow run --set data.copies=100000; echo code $?; "
        f"rm {small}/full; mount -o remount,size=20m {small}; modelyard flow run --set data.copies=1000; echo code $?"
    )
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "bash",
            "-c",
            script.replace(f"mkdir -p {project.path}/runs", f"mkdir -p '{project.path}/runs'"),
        ],
        env=project.tiny.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file system of its own here: {done.stderr.splitlines()[0]}")
    first, second = (line for line in done.stdout.splitlines() if line.startswith("code"))
    assert (first != "code 0", second) == (True, "code 0"), done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
