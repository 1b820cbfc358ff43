"""Where jobs lie."""

import json
import os
import time

import pytest

from modelyard.errors import InputError
from modelyard.jobs import shelf
from modelyard.jobs.record import read_job, write_job


def test_a_record_is_read_as_it_was_written(make_job):
    job = make_job(state="failed", exit_code=1, result={"a": 1})
    assert read_job(job.folder) == job
    changed = write_job(job, state="starting", starts=2)
    assert read_job(job.folder) == changed
    assert (changed.id, changed.project, changed.starts) == ("6a000001", "digits", 2)
    assert sorted(path.name for path in job.folder.iterdir()) == ["events.jsonl", "job.json"]


def test_a_record_of_another_version_or_of_something_else_is_none(make_job, tmp_path):
    job = make_job()
    content = json.loads((job.folder / "job.json").read_text())
    (job.folder / "job.json").write_text(json.dumps({**content, "added_later": 1}))
    assert read_job(job.folder) == job
    for text in ("", "[]", "{}", '{"id": "x"}'):
        (job.folder / "job.json").write_text(text)
        assert read_job(job.folder) is None
    assert read_job(tmp_path / "none") is None


def test_ids_are_the_time_and_no_two_are_the_same(make_job, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0x6A000001)
    make_job()
    projects = tmp_path / "projects"
    (projects / "other").mkdir()
    ids = [shelf.make_folder(projects, project).name for project in ("digits", "other", "digits")]
    assert ids == ["6a000002", "6a000003", "6a000004"]


def test_jobs_are_found_by_id_by_its_start_and_by_project(make_job, tmp_path):
    first, second = make_job(), make_job("6a000001", project="other")
    third = make_job("6b000001")
    (first.folder.parent / "flow").mkdir()
    (first.folder.parent / "flow/run.json").write_text("{}")
    projects = tmp_path / "projects"
    assert shelf.find_jobs(projects) == [first, second, third]
    assert shelf.find_jobs(projects, "other") == [second]
    assert shelf.find_job(projects, "6b") == third
    assert shelf.find_job(projects, "other/6a000001") == second
    with pytest.raises(InputError, match="several jobs: digits/6a000001, other/6a000001"):
        shelf.find_job(projects, "6a000001")
    with pytest.raises(InputError, match="there is no job ''"):
        shelf.find_job(projects, "")


def test_a_folder_is_held_by_one_and_by_who_inherits_it(make_job):
    job = make_job()
    assert not shelf.is_attended(job.folder)
    with shelf.held(job.folder) as descriptor:
        assert descriptor is not None
        assert shelf.is_attended(job.folder)
        inherited = os.dup(descriptor)
    assert shelf.is_attended(job.folder)
    os.close(inherited)
    assert not shelf.is_attended(job.folder)


def test_a_forgotten_job_keeps_its_history(make_job, tmp_path):
    job = make_job(events='{"event": "start"}\n')
    job.log.write_text("a line\n")
    shelf.forget(job)
    projects = tmp_path / "projects"
    assert shelf.find_jobs(projects) == []
    assert shelf.find_jobs(projects, pruned=True) == [job]
    assert sorted(path.name for path in job.folder.iterdir()) == ["events.jsonl", "history.json"]
    shelf.remove(job)
    assert list(job.folder.parent.iterdir()) == []
