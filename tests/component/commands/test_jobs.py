"""Jobs that nobody attends to, and whose engine knows nothing or does not answer."""

import os
import time

import pytest

from modelyard.commands.jobs import follow_log, look_at
from modelyard.errors import EngineError
from modelyard.jobs.record import Job, read_job, write_job


@pytest.fixture
def job(tmp_path):
    """A job that was left running."""
    folder = tmp_path / "projects/digits/runs/6a000001"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").touch()
    (tmp_path / "models").mkdir()
    run = {
        "path": str(tmp_path / "projects/digits/net"),
        "image": "none",
        "payload": {},
        "environment": {},
        "inputs": [],
        "output": [str(tmp_path / "models"), "models", False],
    }
    common = {"model": "digits/net", "model_name": "net", "container": "job-6a000001", "created": time.time()}
    variables = {"MODELYARD_HOME": str(tmp_path / "home"), "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    return write_job(Job(folder=folder, engine="local", variables=variables, run=run, state="running", **common))


def test_what_its_engine_knows_nothing_of_is_lost(job):
    found = look_at(job, os.environ)
    assert (found.state, found.exit_code) == ("lost", None)
    assert read_job(job.folder) == found


def test_what_told_its_end_before_it_was_gone_ended_so(job):
    job.events.write_text('{"event": "end", "status": "finished"}\n')
    assert look_at(job, os.environ).state == "finished"


def test_one_that_was_never_started_is_lost_as_well(job):
    assert look_at(write_job(job, state="starting"), os.environ).state == "lost"


def test_while_its_engine_does_not_answer_nothing_is_known_and_nothing_written(job):
    job = write_job(job, engine="docker")
    found = look_at(job, os.environ)
    assert found.state == "unknown"
    assert "watch.log" in (found.reason or "")
    assert "docker" in (job.folder / "watch.log").read_text()
    assert read_job(job.folder) == job
    with pytest.raises(EngineError, match="nobody can attend to it"):
        list(follow_log(job, os.environ))
