"""`status.json` in the run directory: the supervisor writes how each model is, the gateway reads it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from modelyard.runtime.daemon.channels import NonsenseError, parse_statuses, read_shared

State = Literal["loading", "ready", "failed", "restarting", "unloaded"]
STATUS_FILE = "status.json"
_LARGEST = 1 << 26


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """How one model is: `reason` says why it is not ready, `restarts` how often its process was started again."""

    name: str
    state: State = "loading"
    reason: str | None = None
    pid: int | None = None
    restarts: int = 0
    load_seconds: float | None = None
    turn: int | None = None
    """Its place among those that wait to load, from 1 on; None where it does not wait."""
    load_by: float | None = None
    """When it has to have loaded, by the system's monotonic clock; None where it does not load."""
    workers: int = 1
    pids: Sequence[int] = field(default_factory=list)
    """The processes that hold the model now: those that serve, and those of a reload."""
    reloads: int = 0
    reload_failures: int = 0
    reload_error: str | None = None
    """Why the last reload changed nothing; None where it did, or there was none."""
    unbatched: Mapping[str, str | None] = field(default_factory=dict)
    """By route, why its requests share no call of the model; None where they do."""
    answers: Mapping[str, Any] = field(default_factory=dict)
    """By route, the JSON Schema of its answer to the test instances; empty where there is none."""


def socket_path(run_dir: Path, index: int, replica: int = 0) -> Path:
    """Where a worker of the application's model number `index` listens; short, since such paths have a limit."""
    return run_dir / (f"w{index}-{replica}.sock" if replica else f"w{index}.sock")


def write_status(run_dir: Path, models: Iterable[ModelStatus]) -> None:
    """Replace status.json in one step."""
    scratch = run_dir / f".{STATUS_FILE}.part"
    scratch.write_text(json.dumps({"models": [asdict(model) for model in models]}))
    scratch.replace(run_dir / STATUS_FILE)


def read_status(run_dir: Path) -> dict[str, ModelStatus]:
    """How each model is, by name; empty where the supervisor has not written it yet, or somebody else has."""
    try:
        models = parse_statuses(read_shared(run_dir / STATUS_FILE, _LARGEST))
    except (OSError, NonsenseError):
        return {}
    return {fields["name"]: ModelStatus(**fields) for fields in models}
