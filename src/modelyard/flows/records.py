"""The records in a project's runs/: of runs, and of what came of each key."""

import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.errors import InputError
from modelyard.flows.artifacts import ArtifactStore
from modelyard.machine.home import read_record, remove_tree, write_record
from modelyard.runtime.nearest import describe_choices

SCHEMA = 1
RUN_FILE = "run.json"
TRIALS_FILE = "trials.json"
WORK = ".work"
_SELDOM = 0.5


def now() -> str:
    """The time, as records have it."""
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True)
class Records:
    """A project's runs/."""

    root: Path

    @property
    def artifacts(self) -> ArtifactStore:
        """What steps have made."""
        return ArtifactStore(self.root / "artifacts")

    @property
    def sources(self) -> Path:
        """The source files that steps ran of, by digest."""
        return self.root / "sources"

    @property
    def digests_file(self) -> Path:
        """What is remembered of the project's files."""
        return self.root / ".digests.json"

    def ids(self) -> list[str]:
        """The runs, oldest first."""
        return sorted(path.parent.name for path in self.root.glob(f"[!.]*/{RUN_FILE}"))

    def read_run(self, id: str) -> dict[str, Any]:
        """The record of a run; one that says it runs, and does not, was killed: then it is `interrupted`."""
        run = read_record(self.root / id / RUN_FILE)
        if run is None or "steps" not in run:
            raise InputError(f"{self.root / id}: no run", hint="modelyard runs list")
        return run

    def find(self, text: str | None) -> str:
        """The id of a run that a person names by the start or the end of its id; the last one for None."""
        ids = self.ids()
        if text is None or text == "latest":
            if ids:
                return ids[-1]
            raise InputError(f"{self.root}: there are no runs yet", hint="modelyard flow run")
        found = [id for id in ids if id.startswith(text) or id.endswith(text)]
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} runs are called {text!r}" if found else f"there is no run {text!r}"
        raise InputError(f"{what} (runs: {describe_choices(text, ids)})", hint="modelyard runs list")

    def read_trials(self, id: str) -> dict[str, list[dict[str, Any]]]:
        """The trials of a run, by step."""
        return dict((read_record(self.root / id / TRIALS_FILE) or {}).get("steps", {}))

    def result(self, key: str) -> dict[str, Any] | None:
        """What came of a key, where it is known and all of it is still there."""
        record = read_record(self.root / "steps" / f"{key}.json")
        return record if record and self.artifacts.has_all(record["outputs"]) else None

    def last_result(self, step: str) -> dict[str, Any] | None:
        """What last came of a step, whether or not its outputs are still there."""
        key = (read_record(self.root / "steps" / "last.json") or {}).get(step)
        return read_record(self.root / "steps" / f"{key}.json") if key else None

    def keep_result(self, key: str, record: Mapping[str, Any]) -> None:
        """Note what came of a key."""
        folder = self.root / "steps"
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder / f"{key}.json", {"schema": SCHEMA, **record})

    def note_last(self, step: str, key: str) -> None:
        """Note by which key a step was last brought up to date."""
        last = read_record(self.root / "steps" / "last.json") or {}
        if last.get(step) != key:
            (self.root / "steps").mkdir(parents=True, exist_ok=True)
            write_record(self.root / "steps" / "last.json", {**last, step: key})

    def keep_sources(self, files: Mapping[str, bytes]) -> None:
        """Keep source files by digest, to tell later which line has changed."""
        self.sources.mkdir(parents=True, exist_ok=True)
        for digest, content in files.items():
            kept = self.sources / digest
            if not kept.exists():
                part = kept.with_name(f".{digest}.part")
                part.write_bytes(content)
                part.replace(kept)

    def source_text(self, digest: str) -> str | None:
        """The text of a source file that was kept."""
        try:
            return (self.sources / digest).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None


@dataclass
class RunRecord:
    """The record of the run that goes on: each change is on the disk when `update` returns, whole."""

    records: Records
    run: dict[str, Any]
    trials: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _written: float = 0.0

    @classmethod
    def begin(cls, records: Records, about: Mapping[str, Any], steps: Mapping[str, Mapping[str, Any]]) -> "RunRecord":
        """Make the folder of a new run; it appears with its record in it."""
        id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        run = {"schema": SCHEMA, "id": id, **about, "state": "running", "started": now(), "ended": None}
        run |= {"seconds": None, "error": None, "steps": {name: dict(step) for name, step in steps.items()}}
        part = records.root / f".{id}.part"
        part.mkdir(parents=True)
        write_record(part / RUN_FILE, run)
        part.rename(records.root / id)
        return cls(records, run)

    @property
    def id(self) -> str:
        """The run's."""
        return str(self.run["id"])

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.records.root / self.id

    @property
    def work(self) -> Path:
        """Where its steps write while they run."""
        return self.folder / WORK

    def update(self, step: str, **fields: Any) -> None:
        """Change fields of a step."""
        with self._lock:
            self.run["steps"][step].update(fields)
            self._write()

    def update_run(self, **fields: Any) -> None:
        """Change fields of the run."""
        with self._lock:
            self.run.update(fields)
            self._write()

    def update_trials(self, step: str, trials: Sequence[Mapping[str, Any]]) -> None:
        """Change the trials of a step."""
        with self._lock:
            self.trials[step] = [dict(trial) for trial in trials]
            write_record(self.folder / TRIALS_FILE, {"schema": SCHEMA, "steps": self.trials})

    def touch_curves(self, step: str, curves: Mapping[str, Sequence[float]]) -> None:
        """Show the curves so far, not more often than somebody looks."""
        with self._lock:
            self.run["steps"][step]["curves"] = {name: list(values) for name, values in curves.items()}
            if time.monotonic() - self._written > _SELDOM:
                self._write()

    def end(self, state: str, *, error: str | None = None) -> None:
        """Say how the run ended; what steps worked in goes."""
        with self._lock:
            for step in self.run["steps"].values():
                if step["state"] in ("running", "waiting"):
                    step["state"] = "interrupted" if step["state"] == "running" else step["state"]
            seconds = (datetime.now(UTC) - datetime.fromisoformat(self.run["started"])).total_seconds()
            self.run |= {"state": state, "ended": now(), "seconds": round(seconds, 3), "error": error}
            self._write()
        remove_tree(self.work)

    def _write(self) -> None:
        write_record(self.folder / RUN_FILE, self.run)
        self._written = time.monotonic()


def read_metrics(result: Any) -> tuple[dict[str, float | None], dict[str, list[float | None]]]:
    """Metrics and curves of what a step returned; what is no finite number is None."""
    about = result if isinstance(result, dict) else {}
    metrics, curves = about.get("metrics"), about.get("curves")
    metrics = metrics if isinstance(metrics, dict) else {}
    curves = curves if isinstance(curves, dict) else {}
    more = {name: value for name, value in metrics.items() if isinstance(value, list)}
    return (
        {name: as_number(value) for name, value in metrics.items() if is_number(value)},
        {name: [*map(as_number, values)] for name, values in {**more, **curves}.items() if isinstance(values, list)},
    )


def is_number(value: Any) -> bool:
    """Whether a value counts as a metric; null stands for NaN."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def as_number(value: Any) -> float | None:
    """A metric as records have it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
