"""Jobs on disk that nothing runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.jobs.record import Job, write_job

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Write the record of a job below projects/."""

    def make(id: str = "6a000001", *, project: str = "digits", events: str = "", **values: object) -> Job:
        folder = tmp_path / "projects" / project / "runs" / id
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text(events)
        common = {"engine": "local", "variables": {}, "container": f"job-{id}", "run": {}, "created": 1.0}
        return write_job(Job(folder=folder, model=f"{project}/net", model_name="net", **common, **values))

    return make
