"""The metrics of Seldon style classes, in Prometheus' text form and by the names that Seldon's wrapper gives them."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from modelyard.runtime.daemon.channels import is_metric, read_shared
from modelyard.runtime.daemon.seldon_metrics import TIMER_BOUNDS
from modelyard.runtime.gateway.exposition import describe, label

_LARGEST = 1 << 24
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__|le$)[a-zA-Z_][a-zA-Z0-9_]*")
_TYPES = {"COUNTER": "counter", "GAUGE": "gauge", "TIMER": "histogram"}


def render_seldon_metrics(folder: Path) -> Iterator[str]:
    """Write what every worker in the run directory shows; what Prometheus could not read is left out."""
    families: dict[str, list[Mapping[str, Any]]] = {}
    for path in sorted(folder.glob("*.seldon")):
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(read_shared(path, _LARGEST))
            for metric in found if isinstance(found, list) else ():
                if not is_metric(metric, counts=len(TIMER_BOUNDS) + 1):
                    continue
                if _NAME.fullmatch(metric["name"]) and all(map(_LABEL.fullmatch, metric["labels"])):
                    families.setdefault(_find_name(metric), []).append(metric)
    for name, metrics in sorted(families.items()):
        kind = metrics[0]["type"]
        yield from describe(name, _TYPES[kind], "A metric of a Seldon style class.")
        for metric in metrics:
            if metric["type"] == kind:
                yield from _render(name, metric)


def _find_name(metric: Mapping[str, Any]) -> str:
    name: str = metric["name"]
    return f"{name.removesuffix('_total')}_total" if metric["type"] == "COUNTER" else name


def _render(name: str, metric: Mapping[str, Any]) -> Iterator[str]:
    labels = metric["labels"]
    if "counts" not in metric:
        yield f"{name}{label(**labels)} {metric['value']}"
        return
    counts = list(accumulate(metric["counts"]))
    for bound, count in zip([*map(str, TIMER_BOUNDS), "+Inf"], counts, strict=True):
        yield f"{name}_bucket{label(**labels, le=bound)} {count}"
    yield f"{name}_sum{label(**labels)} {metric['value']}"
    yield f"{name}_count{label(**labels)} {counts[-1]}"
