"""A job: a training that outlives the terminal, as the file `job.json` in its folder has it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

State = Literal["starting", "running", "finished", "stopped", "failed", "lost", "unknown"]

RECORD = "job.json"
PRUNED = "history.json"
"""What the record is called when the job is forgotten and its history stays."""
ENDED: tuple[State, ...] = ("finished", "stopped", "failed", "lost")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What was asked for, how it stands, and how it ended; `folder` is `projects/<project>/runs/<id>`."""

    folder: Path
    model: str
    """The full name of its model directory."""
    model_name: str
    """The name of the model binary that it writes."""
    engine: str
    variables: Mapping[str, str]
    """Those of the environment that lead to that engine."""
    container: str
    run: Mapping[str, Any]
    """What is run: image, payload, environment, mounts."""
    created: float
    state: State = "starting"
    starts: int = 1
    """How often it was started: once, and once more for each resume."""
    log_lines: int = 0
    """Lines of the log that are of earlier starts."""
    watcher: int | None = None
    """The process that attends to it, or did last."""
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    """Why it is in this state, where that is not what was to come."""
    result: Any = None
    """What the train function returned."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Those of the manifest of the model binary."""

    @property
    def id(self) -> str:
        """Eight characters; later jobs come later in order."""
        return self.folder.name

    @property
    def project(self) -> str:
        """The project it belongs to."""
        return self.folder.parent.parent.name

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing of it will change unless it is resumed."""
        return self.state in ENDED

    @property
    def log(self) -> Path:
        """What the training printed."""
        return self.folder / "log"

    @property
    def events(self) -> Path:
        """What the training told, an object of JSON a line."""
        return self.folder / "events.jsonl"

    @property
    def stop_file(self) -> Path:
        """It is there when the job was asked to stop."""
        return self.folder / "stop"

    @property
    def is_stopping(self) -> bool:
        """Tell whether it was asked to stop and has not ended yet."""
        return not self.has_ended and self.stop_file.exists()

    def as_dict(self) -> dict[str, Any]:
        """Everything, for programs."""
        content = asdict(self)
        del content["folder"]
        return {"id": self.id, "project": self.project, **content}


def write_job(job: Job, **changes: Any) -> Job:
    """Write the record with these changes, so that a reader sees the old one or the new one; return it."""
    job = replace(job, **changes)
    path = job.folder / RECORD
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump({"schema": 1, **job.as_dict()}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return job


def read_job(folder: Path, *, pruned: bool = False) -> Job | None:
    """Read the record of a folder; None where there is none, or none that this version knows.

    With `pruned` also that of a job that was forgotten, whose history stays.
    """
    for name in (RECORD, PRUNED) if pruned else (RECORD,):
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            known = {key: value for key, value in content.items() if key in Job.__dataclass_fields__}
            return Job(folder=folder, **known)
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return None
