"""What a training went through, epoch by epoch: as columns, as the original kubeml writes it, as CSV and as gauges."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.jobs.events import Events, number, read_events
from modelyard.jobs.record import Job

COLUMNS = (
    "epoch",
    "train_loss",
    "validation_loss",
    "accuracy",
    "parallelism",
    "seconds",
    "samples",
    "samples_per_second",
    "lr",
    "merges",
)
# The names in the original's `history get`, and those of its gauges with their help.
_ORIGINAL = {
    "validation_loss": "validation_loss",
    "accuracy": "accuracy",
    "train_loss": "train_loss",
    "parallelism": "parallelism",
    "seconds": "epoch_duration",
}
_GAUGES = {
    "validation_loss": ("kubeml_job_validation_loss", "Validation loss of a train job"),
    "accuracy": ("kubeml_job_validation_accuracy", "Validation accuracy of a train job"),
    "train_loss": ("kubeml_job_train_loss", "Train loss of a train job"),
    "parallelism": ("kubeml_job_parallelism", "Parallelism of a train job"),
    "seconds": ("kubeml_job_epoch_duration_seconds", "Epoch duration of a train job"),
}


@dataclass(frozen=True, kw_only=True)
class History:
    """A job and what it told."""

    job: Job
    events: Events

    def column(self, name: str) -> list[float | None]:
        """The values of a column, one an epoch; None where an epoch has none."""
        return [number(epoch, name) for epoch in self.events.epochs]

    def points(self, name: str) -> tuple[list[float], list[float]]:
        """The epochs that have a value in a column, and the values."""
        pairs = [(float(epoch["epoch"]), number(epoch, name)) for epoch in self.events.epochs]
        known = [(x, y) for x, y in pairs if y is not None]
        return [x for x, _ in known], [y for _, y in known]

    @property
    def seconds(self) -> float:
        """What the epochs took together."""
        return sum(value or 0.0 for value in self.column("seconds"))

    @property
    def mean_parallelism(self) -> float | None:
        """The workers of an epoch, on average."""
        values = [value for value in self.column("parallelism") if value is not None]
        return sum(values) / len(values) if values else None

    def as_dict(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "id": self.job.id,
            "model": self.job.model,
            "state": self.job.state,
            "task": dict(self.events.task),
            "epochs": [dict(epoch) for epoch in self.events.epochs],
            "restarts": [dict(restart) for restart in self.events.restarts],
            "end": self.events.end,
            "metrics": dict(self.job.metrics),
        }

    def as_original(self) -> dict[str, Any]:
        """As kubeml's own `history get` prints it."""
        data = {
            theirs: [value for value in self.column(ours) if value is not None] for ours, theirs in _ORIGINAL.items()
        }
        return {"id": self.job.id, "task": as_request(self.job, self.events.task), "data": data}

    def as_csv(self) -> str:
        """A table with a row an epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            ["" if (value := number(row, name)) is None else value for name in COLUMNS] for row in self.events.epochs
        )
        return text.getvalue()


def read_history(job: Job) -> History:
    """Read what a job told so far."""
    return History(job=job, events=read_events(job.events))


def as_request(job: Job, task: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a training under the original's names."""
    return {
        "model_type": job.model,
        "batch_size": task.get("batch"),
        "epochs": task.get("epochs"),
        "dataset": task.get("dataset") or job.run.get("payload", {}).get("dataset"),
        "lr": task.get("lr"),
        "function_name": job.model.rpartition("/")[2],
        "options": {
            "default_parallelism": task.get("parallelism"),
            "static_parallelism": task.get("static"),
            "validate_every": task.get("validate_every"),
            "k": task.get("k"),
            "goal_accuracy": task.get("goal_accuracy"),
        },
    }


def format_gauges(histories: Iterable[History], *, with_total: bool = False) -> str:
    """The last epoch of each job as gauges, in Prometheus' text format, under the original's names.

    `with_total` adds how many trainings run.
    """
    histories = list(histories)
    lines = []
    for column, (name, text) in _GAUGES.items():
        values = [(one.job.id, last[-1]) for one in histories if (last := one.points(column)[1])]
        if values:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
            lines += [f'{name}{{jobid="{id}"}} {value}' for id, value in values]
    if with_total:
        running = sum(not one.job.has_ended for one in histories)
        name = "kubeml_functions_running"
        lines += [f"# HELP {name} Number of running functions", f"# TYPE {name} gauge"]
        lines.append(f'{name}{{type="train"}} {running}')
    return "".join(f"{line}\n" for line in lines)
