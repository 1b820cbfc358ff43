"""What the page of runs shows: a record with its trials, the ends of its logs, and the outputs it knows to draw."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.flows.records import Records

CONFUSION, SAMPLES = "confusion", "samples.json"
_LOG_TAIL = 16_000
_MOST_FILES, _MOST_SAMPLES = 100, 24
_LARGEST_JSON = 1 << 20


def describe_run(records: Records, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run as its page takes it, from its record with the steps in order; places are those below runs/."""
    steps = {name: {**step, **_find_more(records.root, run["id"], name, step)} for name, step in run["steps"].items()}
    trials = {
        name: [{**trial, "log": _locate_log(records.root, run["id"], trial, trial["log"])} for trial in trials]
        for name, trials in records.read_trials(run["id"]).items()
    }
    return {**run, "steps": steps, "trials": trials}


def summarise_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a list of runs says of one."""
    return {name: run[name] for name in ("id", "state", "started", "seconds")}


def embed_pictures(view: dict[str, Any], root: Path) -> dict[str, Any]:
    """Put the pictures themselves into a view, for a page that has no server."""
    for step in view["steps"].values():
        for gallery in step["galleries"]:
            for sample in gallery["samples"]:
                content = _read_bytes(root / sample["place"])
                kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
                sample["data"] = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return view


def _find_more(root: Path, id: str, name: str, step: Mapping[str, Any]) -> dict[str, Any]:
    places = {output: _locate(root, id, step, f"{name}/{about['file']}") for output, about in step["outputs"].items()}
    confusion = _read_json(places[CONFUSION]) if CONFUSION in places else None
    galleries = [gallery for output, place in places.items() if (gallery := _read_gallery(root, output, place))]
    log = _locate_log(root, id, step, step["log"] or f"{name}/log")
    return {
        "log": log,
        "log_tail": _read_tail(root / log) if log else "",
        "files": {output: _list_files(root, place) for output, place in places.items()},
        "confusion": confusion if _is_confusion(confusion) else None,
        "galleries": galleries,
    }


def _locate(root: Path, id: str, made: Mapping[str, Any], name: str) -> Path:
    """Where a file of a step lies: in the run, or, where nothing had changed, in the run that made it."""
    places = [root / run / name for run in (id, made.get("made_by")) if run]
    return next((place for place in places if place.exists()), places[0])


def _locate_log(root: Path, id: str, made: Mapping[str, Any], name: str | None) -> str | None:
    """Its log, if there is one: of a step that was reused, that of the run that made it."""
    place = _locate(root, id, made, name) if name else root
    return place.relative_to(root).as_posix() if place.is_file() else None


def _read_gallery(root: Path, output: str, place: Path) -> dict[str, Any] | None:
    """The pictures of an output that is a folder with samples.json."""
    about = _read_json(place / SAMPLES)
    if not isinstance(about, list):
        return None
    samples = []
    for sample in about[:_MOST_SAMPLES]:
        file = sample.get("file") if isinstance(sample, dict) else None
        if isinstance(file, str) and "/" not in file and (place / file).is_file():
            samples.append({**sample, "place": (place / file).relative_to(root).as_posix()})
    return {"name": output, "samples": samples} if samples else None


def _is_confusion(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("labels"), list):
        return False
    counts, size = value.get("counts"), len(value["labels"])
    return isinstance(counts, list) and [len(row) for row in counts if isinstance(row, list)] == [size] * size


def _list_files(root: Path, place: Path) -> list[dict[str, Any]]:
    """The files of an output."""
    paths = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    return [
        {"place": path.relative_to(root).as_posix(), "size": path.stat().st_size}
        for path in paths[:_MOST_FILES]
        if path.is_file()
    ]


def _read_tail(path: Path) -> str:
    content = _read_bytes(path, last=_LOG_TAIL)
    text = content.decode(errors="replace")
    return text if len(content) < _LOG_TAIL else text.partition("\n")[2]


def _read_bytes(path: Path, *, last: int | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            if last is not None:
                file.seek(max(file.seek(0, 2) - last, 0))
            return file.read()
    except OSError:
        return b""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()) if path.stat().st_size <= _LARGEST_JSON else None
    except (OSError, ValueError):
        return None
