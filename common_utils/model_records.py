"""`metaData-models.json`: one entry for every model that was ever saved into a folder. Standard library only."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from utils.atomic import locked_folder, write_atomically
from utils.errors import ModelBinaryError

RECORDS = "metaData-models.json"
LATEST = "latest"
MAIN = "mainModel.pth"


def file_name_for(model_id: str, created: datetime) -> str:
    """Return the name of a saved model's file.

    >>> file_name_for("3f2a", datetime(2026, 2, 1, 13, 5, 9))
    'modelFile-3f2a-2026-02-01--13-05-09.pth'
    """
    return f"modelFile-{model_id}-{created:%Y-%m-%d--%H-%M-%S}.pth"


def read_records(folder: Path | str) -> list[dict[str, Any]]:
    """Return every entry, the oldest first; [] where nothing was saved yet."""
    path = Path(folder) / RECORDS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [dict(record, id=str(record["id"]), file=str(record["file"])) for record in content["models"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ModelBinaryError(
            f"{path}: no list of saved models ({type(error).__name__}: {error})",
            hint="restore it from a copy, or move it away: the model files themselves stay usable",
        ) from None


def add_model(folder: Path | str, record: Mapping[str, Any], binary: bytes) -> Path:
    """Write a model's file and its entry, both or neither; writers at the same time wait for each other."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    path = home / str(record["file"])
    part = home / f".{path.name}.{os.environ.get('MODELYARD_RUN_ID') or os.getpid()}.part"
    try:
        write_atomically(path, binary, part=part)
        try:
            with locked_folder(home):
                content = {"schema": 1, "models": [*read_records(home), dict(record)]}
                text = json.dumps(content, indent=2, allow_nan=False) + "\n"
                write_atomically(home / RECORDS, text.encode(), part=part)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ModelBinaryError(
            f"{path}: can't write it ({error.strerror or error})",
            hint=f"it needs {len(binary):,} bytes and the right to write; nothing was changed",
        ) from error
    return path


def find_model(folder: Path | str, name: str = LATEST) -> Path:
    """Return the file of a saved model: `latest`, an id, a file's name, or a path below `folder` or anywhere."""
    home = Path(folder)
    records = read_records(home)
    if name == LATEST and records:
        return home / records[-1]["file"]
    for record in records:
        if name in (record["id"], record["file"]):
            return home / record["file"]
    for path in (home / name, Path(name)):
        if path.is_file():
            return path
    known = ", ".join(record["id"] for record in records[-5:]) or "none"
    raise ModelBinaryError(
        f"{home / RECORDS}: no saved model {name!r} (the newest: {known})", hint="train it first, or check the name"
    )


def make_main(folder: Path | str, path: Path) -> None:
    """Make a saved model's file `mainModel.pth` of `folder`, the one that training goes on from."""
    main = Path(folder) / MAIN
    if path != main:
        write_atomically(main, path.read_bytes(), part=main.with_name(f".{MAIN}.{os.getpid()}.part"))


def expected_digest(path: Path) -> str | None:
    """Return the sha256 that the entry of a saved model's file has; None where there is no entry."""
    return next((record.get("sha256") for record in read_records(path.parent) if record["file"] == path.name), None)
