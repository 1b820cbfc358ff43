"""Data files and their sidecars: `data/adult.csv` has `data/adult.json`, which says where the data came from.

Standard library only, so a project's make_data.py can use it without installing anything.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from common_utils.download import digest_of
from common_utils.table import write_table


def write_dataset(
    path: Path,
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    source: str,
    recipe: str,
    synthetic: bool = False,
) -> None:
    """Write a CSV file and its sidecar. `source` names the origin, `recipe` the digest of the code that made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)
    write_table(path, names, rows)
    write_sidecar(path, source=source, recipe=recipe, synthetic=synthetic)


def write_sidecar(path: Path, *, source: str, recipe: str, synthetic: bool = False) -> None:
    """Write the sidecar of a data file that is there, whatever its format."""
    sidecar = path.with_suffix(".json")
    content = {"source": source, "synthetic": synthetic, "recipe": recipe, "sha256": digest_of(path)}
    part = sidecar.with_name(f".{sidecar.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        part.replace(sidecar)
    finally:
        part.unlink(missing_ok=True)


def describe_dataset(paths: Iterable[Path], *, recipe: str | None = None) -> dict[str, Any] | None:
    """Return source and synthetic of files that are all there, unchanged, of one origin and made by `recipe`.

    None where one of this is not so; without `recipe`, any will do.
    """
    sidecars = []
    for path in paths:
        try:
            sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if recipe not in (None, sidecar["recipe"]) or sidecar["sha256"] != digest_of(path):
                return None
            sidecars.append({"source": sidecar["source"], "synthetic": sidecar["synthetic"]})
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return sidecars[0] if sidecars and all(sidecar == sidecars[0] for sidecar in sidecars) else None


def digest_recipe(*files: str | Path) -> str:
    """Return a digest of the source files that make the data, so that changed code makes the data again."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:16]
