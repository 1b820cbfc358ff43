"""What differs between two runs."""

from collections.abc import Iterator, Mapping
from typing import Any

Difference = tuple[str, str, Any, Any]
"""What it is of, its name, and its value in each of the two runs."""


def compare_runs(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """Parameters, code, and of each step its outputs and metrics, where they are not the same."""
    return [*_compare_config(one, other), *_compare_git(one, other), *_compare_steps(one, other)]


def _compare_config(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    flat = [
        {f"{group}.{name}": value for group, about in run["config"].items() for name, value in about.items()}
        for run in (one, other)
    ]
    for name in sorted({*flat[0], *flat[1]}):
        if flat[0].get(name) != flat[1].get(name):
            yield "parameter", name, flat[0].get(name), flat[1].get(name)


def _compare_git(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    commits = [(run["git"] or {}).get("commit") for run in (one, other)]
    if commits[0] != commits[1]:
        yield "commit", "", commits[0], commits[1]


def _compare_steps(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*one["steps"], *other["steps"]]):
        first, second = (run["steps"].get(name) or {} for run in (one, other))
        if first.get("state") != second.get("state") and not {first.get("state"), second.get("state")} <= {
            "succeeded",
            "reused",
        }:
            yield name, "state", first.get("state"), second.get("state")
        for metric in sorted({*first.get("metrics", {}), *second.get("metrics", {})}):
            values = [step.get("metrics", {}).get(metric) for step in (first, second)]
            if values[0] != values[1]:
                yield name, metric, *values
        for output in sorted({*first.get("outputs", {}), *second.get("outputs", {})}):
            digests = [step.get("outputs", {}).get(output, {}).get("digest") for step in (first, second)]
            if digests[0] != digests[1]:
                yield name, f"output {output}", *(digest and digest[:12] for digest in digests)
