"""What a model was trained on: a path and a digest, and whether the data are made up."""

import hashlib
import json
from pathlib import Path
from typing import Any

from utils.errors import ModelBinaryError


def describe_data(path: Path | str) -> dict[str, Any]:
    """Return reference, sha256 and size of a data file, and what its sidecar says of where it came from.

    The sidecar of `data/adult.csv` is `data/adult.json`; its `source` and `synthetic` are taken over where it exists.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise ModelBinaryError(f"{path}: can't read the training data ({error.strerror})") from None
    sidecar = read_sidecar(path)
    return {
        "ref": str(path),
        "sha256": digest,
        "size": size,
        "source": sidecar.get("source"),
        "synthetic": bool(sidecar.get("synthetic", False)),
    }


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return what the sidecar of a data file says; {} where there is none."""
    sidecar = path.with_suffix(".json")
    if sidecar == path or not sidecar.is_file():
        return {}
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelBinaryError(f"{sidecar}: no JSON ({error})", hint="make the data again: make data") from None
    return content if isinstance(content, dict) else {}
