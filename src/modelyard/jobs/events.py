"""What a training told, in `events.jsonl`: an object of JSON a line, written while others read."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Events:
    """The events of a job that count: of an epoch that was told twice, the later; of ends, that of the last start."""

    task: Mapping[str, Any]
    """The options of the training."""
    epochs: tuple[Event, ...]
    restarts: tuple[Event, ...]
    end: Event | None
    """How the training says that it ended; None while it runs, and where it was killed."""

    @property
    def last(self) -> Event:
        """The last epoch, empty before there is one."""
        return self.epochs[-1] if self.epochs else {}

    @property
    def planned(self) -> int | None:
        """The epochs that were asked for."""
        epochs = self.task.get("epochs")
        return epochs if isinstance(epochs, int) else None


def read_events(path: Path) -> Events:
    """Read the events of a file; none where there is no file."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        text = b""
    return parse_events(text)


def parse_events(text: bytes) -> Events:
    """Parse lines of events; what is no event, and a last line without its end, is passed over."""
    task: Mapping[str, Any] = {}
    epochs: dict[int, Event] = {}
    restarts, end = [], None
    for event in _parse_lines(text):
        match event.get("event"):
            case "start":
                task, end = event.get("task") or {}, None
            case "epoch" if isinstance(event.get("epoch"), int):
                epochs[event["epoch"]] = event
            case "restart":
                restarts.append(event)
            case "end":
                end = event
    ordered = tuple(epochs[number] for number in sorted(epochs))
    return Events(task=task if isinstance(task, dict) else {}, epochs=ordered, restarts=tuple(restarts), end=end)


def number(event: Event, key: str) -> float | None:
    """A finite number of an event, None where it has none."""
    value = event.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def _parse_lines(text: bytes) -> Iterator[dict[str, Any]]:
    for line in text.split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
