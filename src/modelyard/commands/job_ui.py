"""The page of jobs: what it shows, as JSON, and the gauges of all of them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.commands.jobs import look_at
from modelyard.commands.page_server import Answer, Query, Route, answer_json, answer_text, files_of
from modelyard.jobs.history import format_gauges, read_history
from modelyard.jobs.record import Job
from modelyard.jobs.shelf import find_job, find_jobs

PAGE = Path(__file__).parent / "job_page"
_TAIL = 64 << 10


def make_routes(projects_root: Path, environ: Mapping[str, str]) -> dict[str, Route]:
    """Every path of the page."""

    def jobs(query: Query) -> Answer:
        found = find_jobs(projects_root, pruned=True)
        return answer_json([_summarize(look_at(job, environ)) for job in reversed(found)])

    def job(query: Query) -> Answer:
        found = look_at(find_job(projects_root, query.get("id", ""), pruned=True), environ)
        return answer_json({**_summarize(found), **_describe(found), "log": _read_tail(found.log)})

    def metrics(query: Query) -> Answer:
        return answer_text(format_gauges([read_history(job) for job in find_jobs(projects_root)], with_total=True))

    return {**files_of(PAGE), "/jobs.json": jobs, "/job.json": job, "/metrics": metrics}


def _summarize(job: Job) -> dict[str, Any]:
    events = read_history(job).events
    return {
        "id": job.id,
        "project": job.project,
        "model": job.model,
        "state": "stopping" if job.is_stopping else job.state,
        "ended": job.has_ended,
        "done": len(events.epochs),
        "planned": events.planned,
    }


def _describe(job: Job) -> dict[str, Any]:
    history = read_history(job)
    return {
        "reason": job.reason,
        "engine": job.engine,
        "started": job.started or job.created,
        "took": job.ended - (job.started or job.created) if job.ended else None,
        "starts": job.starts,
        "folder": str(job.folder),
        "task": dict(history.events.task) or dict(job.run.get("payload") or {}),
        "metrics": dict(job.metrics),
        "restarts": len(history.events.restarts),
        "epochs": [
            {name: history.column(name)[index] for name in _SHOWN} for index in range(len(history.events.epochs))
        ],
    }


_SHOWN = ("epoch", "train_loss", "validation_loss", "accuracy", "parallelism", "seconds", "samples_per_second", "lr")


def _read_tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
