"""The metrics that a Seldon style class returns, added up in its process, in a file for the gateway to read.

As Seldon's wrapper has it: a counter adds up, a gauge is its last value, a timer (milliseconds) becomes a histogram in
seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelyard.runtime.daemon.seldon_metrics import TIMER_BOUNDS
from modelyard.runtime.primitives import dump_json, getpid, load_json, rename

NOT_IMPLEMENTED = "NOT_IMPLEMENTED"


class SeldonMetrics:
    """What one class has counted; nothing, until there is a file to show it in."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._labels: dict[str, str] = {}
        self._values: dict[str, dict[str, Any]] = {}

    def publish(self, path: Path, labels: Mapping[str, str]) -> None:
        """Count from now on, into the file at `path`, with these labels."""
        self._path = path
        self._labels = dict(labels)

    def update(self, metrics: Iterable[Mapping[str, Any]]) -> None:
        """Count the metrics of one call."""
        for metric in metrics if self._path else ():
            kind, name, tags = metric.get("type", "COUNTER"), str(metric["key"]), metric.get("tags") or {}
            labels = {**{str(key): str(value) for key, value in tags.items()}, **self._labels}
            start = {"type": kind, "name": name, "labels": labels, "value": 0.0}
            entry = self._values.setdefault(dump_json([kind, name, labels]), start)
            value = float(metric["value"])
            if kind == "TIMER":
                seconds = value / 1000
                counts = entry.setdefault("counts", [0] * (len(TIMER_BOUNDS) + 1))
                counts[bisect_right(TIMER_BOUNDS, seconds)] += 1
                entry["value"] += seconds
            else:
                entry["value"] = value + (entry["value"] if kind == "COUNTER" else 0.0)
        self._write()

    def update_reward(self, reward: float) -> None:
        """Count a feedback, where it has a reward."""
        if reward:
            names = {"seldon_api_model_feedback": 1, "seldon_api_model_feedback_reward": reward}
            self.update({"type": "COUNTER", "key": name, "value": value} for name, value in names.items())

    def _write(self) -> None:
        if self._path is not None and self._values:
            scratch = self._path.with_suffix(".part")
            scratch.write_text(dump_json(list(self._values.values())))
            rename(scratch, self._path)


def describe_unit(environ: Mapping[str, str]) -> dict[str, str]:
    """The labels that Seldon's operator has the wrapper put on everything."""
    image, _, version = environ.get("PREDICTIVE_UNIT_IMAGE", f"{NOT_IMPLEMENTED}:{NOT_IMPLEMENTED}").rpartition(":")
    deployment = environ.get("SELDON_DEPLOYMENT_ID", NOT_IMPLEMENTED)
    return {
        "deployment_name": deployment,
        "model_name": environ.get("PREDICTIVE_UNIT_ID", NOT_IMPLEMENTED),
        "model_image": image,
        "model_version": version,
        "predictor_name": environ.get("PREDICTOR_ID", NOT_IMPLEMENTED),
        "predictor_version": load_json(environ.get("PREDICTOR_LABELS") or "{}").get("version", NOT_IMPLEMENTED),
        "seldon_deployment_name": deployment,
        "image_name": image,
        "image_version": version,
        "worker_id": str(getpid()),
    }
