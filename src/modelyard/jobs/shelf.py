"""Where jobs lie: a folder each in the `runs/` of their project, held by the process that attends to it."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.errors import InputError
from modelyard.jobs.record import PRUNED, RECORD, Job, read_job
from modelyard.runtime.nearest import ask_whether_meant, describe_choices

RUNS = "runs"


def make_folder(projects_root: Path, project: str) -> Path:
    """Make the folder of a new job; its name is the time in hexadecimal, a second later where that one is taken."""
    runs = projects_root / project / RUNS
    runs.mkdir(exist_ok=True)
    second = int(time.time())
    while True:
        folder = runs / f"{second:08x}"
        second += 1
        if not any(projects_root.glob(f"*/{RUNS}/{folder.name}")):
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder


def find_jobs(projects_root: Path, project: str | None = None, *, pruned: bool = False) -> list[Job]:
    """Every job of a project, or of all, the oldest first; other folders, such as a flow's runs, are none."""
    folders = {
        path.parent for name in (RECORD, PRUNED) for path in projects_root.glob(f"{project or '*'}/runs/*/{name}")
    }
    found = (read_job(folder, pruned=pruned) for folder in sorted(folders))
    return sorted((job for job in found if job is not None), key=lambda job: (job.id, job.project))


def find_job(projects_root: Path, name: str, *, pruned: bool = False) -> Job:
    """The job of an id, or the start of an id, also written as <project>/<id>; raise InputError for none or several."""
    project, _, id = name.rpartition("/")
    jobs = find_jobs(projects_root, project or None, pruned=pruned)
    matches = [job for job in jobs if job.id == id] or [job for job in jobs if id and job.id.startswith(id)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(f"{job.project}/{job.id}" for job in matches)
        raise InputError(f"{name!r} is the start of several jobs: {names}", hint="name one of these")
    ids = [job.id for job in jobs]
    known = describe_choices(name, ids, none="none")
    raise InputError(
        f"there is no job {name!r}{ask_whether_meant(name, ids)} (jobs here: {known})",
        hint="`modelyard job list` lists them",
    )


@contextmanager
def held(folder: Path) -> Iterator[int | None]:
    """Hold a job's folder, without waiting: yields a descriptor, None where another process attends to the job.

    A process that inherits the descriptor holds the folder as well, for as long as it lives: a kill or a reboot frees
    it, so nothing of this can go stale.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)


def is_attended(folder: Path) -> bool:
    """Tell whether a process attends to the job."""
    with held(folder) as descriptor:
        return descriptor is None


def forget(job: Job) -> None:
    """Remove log and leftovers of an ended job; what it went through stays as its history."""
    (job.folder / RECORD).rename(job.folder / PRUNED)
    for path in job.folder.iterdir():
        if path.name not in (PRUNED, job.events.name):
            path.unlink(missing_ok=True)


def remove(job: Job) -> None:
    """Remove everything of an ended job; the model binary stays."""
    gone = job.folder.with_name(f".{job.id}.{os.getpid()}.part")
    job.folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
