"""Send a run's record to MLflow, where MLFLOW_TRACKING_URI is set: a run of its own for it, and for each trial."""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError

URI = "MLFLOW_TRACKING_URI"
_STATUS = {
    "succeeded": "FINISHED",
    "reused": "FINISHED",
    "failed": "FAILED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
}
_LONGEST = 5000


class TrackingError(ModelyardError):
    """MLflow can't be reached, or does not take what it is sent."""


def send_run(run: Mapping[str, Any], trials: Mapping[str, list[dict[str, Any]]], folder: Path, *, uri: str) -> str:
    """Send a run that has ended; return the id that MLflow has it by. Raises TrackingError."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its seven take minutes where nobody listens
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # which is for results
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"{URI} is set, but the Python package {error.name!r} is not installed",
            hint="pip install 'modelyard[mlflow]', or unset it",
        ) from None
    try:
        return _send(MlflowClient(tracking_uri=uri), run, trials, folder)
    except (MlflowException, OSError) as error:
        raise TrackingError(f"MLflow did not take run {run['id']}: {error}", hint=f"is {URI} right?") from None


def _send(client: Any, run: Mapping[str, Any], trials: Mapping[str, list[dict[str, Any]]], folder: Path) -> str:
    found = client.get_experiment_by_name(run["project"])
    experiment = found.experiment_id if found else client.create_experiment(run["project"])
    git = run["git"] or {}
    tags = {
        "mlflow.runName": run["id"],
        "mlflow.source.git.commit": git.get("commit", ""),
        "modelyard.run": run["id"],
        "modelyard.engine": run["engine"],
        **{f"modelyard.image.{name.replace('/', '.')}": image for name, image in run["images"].items()},
        **{f"modelyard.step.{name}": step["state"] for name, step in run["steps"].items()},
    }
    started = _milliseconds(run["started"])
    parent = client.create_run(experiment, start_time=started, tags={key: text for key, text in tags.items() if text})
    id = str(parent.info.run_id)
    flat = {f"{group}.{name}": value for group, about in run["config"].items() for name, value in about.items()}
    for name, step in run["steps"].items():
        _log(client, id, metrics=step["metrics"], curves=step["curves"], prefix=f"{name}.", time=started)
        for output, about in step["outputs"].items():
            client.set_tag(id, f"modelyard.artifact.{name}.{output}", about["digest"])
    _log(client, id, params=flat, time=started)
    for path in _record_files(folder):
        client.log_artifact(id, str(path), artifact_path=str(path.parent.relative_to(folder)).strip(".") or None)
    for name, listed in trials.items():
        for trial in listed:
            _send_trial(client, experiment, id, name, trial, started)
    client.set_terminated(id, _STATUS.get(run["state"], "FINISHED"), end_time=_milliseconds(run["ended"]))
    return id


def _send_trial(client: Any, experiment: str, parent: str, step: str, trial: Mapping[str, Any], started: int) -> None:
    tags = {"mlflow.runName": f"{step} trial {trial['number']}", "mlflow.parentRunId": parent}
    tags |= {"modelyard.trial": str(trial["number"]), "modelyard.best": str(trial["best"]).lower()}
    id = client.create_run(experiment, start_time=started, tags=tags).info.run_id
    _log(client, id, params=trial["params"], metrics=trial["metrics"], curves=trial["curves"], time=started)
    client.set_terminated(
        id, _STATUS.get(trial["state"], "FINISHED"), end_time=started + round(1000 * (trial["seconds"] or 0))
    )


def _log(
    client: Any,
    id: str,
    *,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    curves: Mapping[str, Any] | None = None,
    prefix: str = "",
    time: int,
) -> None:
    from mlflow.entities import Metric, Param

    numbers = [*_points(metrics or {}, curves or {})]
    client.log_batch(
        id,
        metrics=[Metric(f"{prefix}{name}", value, time, step) for name, value, step in numbers],
        params=[Param(name, str(value)[:_LONGEST]) for name, value in (params or {}).items()],
    )


def _points(metrics: Mapping[str, Any], curves: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """Each value with its epoch; a curve's last point is the metric of its name, where there is one."""
    for name, values in curves.items():
        yield from ((name, value, epoch) for epoch, value in enumerate(values) if value is not None)
    for name, value in metrics.items():
        if value is not None:
            yield name, value, len(curves.get(name, ()))


def _record_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        is_record = path.suffix in (".json", ".log", ".html") or path.name == "log"
        if is_record and path.is_file() and not any(each.is_symlink() for each in (path, path.parent)):
            yield path


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
