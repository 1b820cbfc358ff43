"""Download: the pictures that a CSV lists, from any S3 or a folder; the CSV comes back with where each one lies."""

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from common_utils.dataset import write_sidecar
from common_utils.progress import ProgressBar
from dogs_vs_cats.common_utils.buckets import Bucket, MissingError, open_bucket
from dogs_vs_cats.common_utils.settings import read_number, refuse_keys
from dogs_vs_cats.common_utils.tables import (
    Listed,
    TableError,
    check_same_names,
    located,
    read_listed,
    write_listed,
    write_rows,
)
from utils.data_reference import read_sidecar

CSV, MISSING, FILES = "images.csv", "missing.csv", "files"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of one line of the CSV."""

    row: Listed
    state: str
    """fetched, there (from a download that was interrupted) or missing."""
    size: int = 0


def download(msg: Any) -> dict[str, Any]:
    """Make the folder `images`: images.csv, the files it names, and missing.csv."""
    params, inputs, outputs = (msg.payload[key] for key in ("params", "inputs", "outputs"))
    data, aws, source = params["data"], params.get("aws", {}), Path(inputs["data"])
    refuse_keys(aws)
    table = source / params["csv"]["s3_images_csv"]
    rows = read_listed(table)
    names, folder = check_same_names(rows), Path(outputs["images"])
    folder.mkdir(parents=True, exist_ok=True)
    if data["download_data"]:
        bucket = open_bucket(aws, folder=source / data["remote_download_path"])
        fetched = fetch_all(rows, bucket, folder / FILES, parallel=read_number(data, "data.parallel"))
    else:
        fetched = take_what_is_there(rows, source, folder)
    result = finish(fetched, folder, names, data)
    about = {"source": "unknown", "synthetic": False, **read_sidecar(table)}
    if about["synthetic"]:
        print("SYNTHETIC: these pictures are made up; what is measured on them says nothing about cats and dogs")
    write_sidecar(folder / CSV, source=about["source"], recipe="download", synthetic=about["synthetic"])
    return result


def fetch_all(rows: list[Listed], bucket: Bucket, folder: Path, *, parallel: int) -> list[Fetched]:
    """Fetch what is not there yet, several at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.rglob(".*.part"):
        part.unlink()
    with ProgressBar("downloading", total=len(rows)) as bar, ThreadPoolExecutor(parallel) as pool:

        def one(row: Listed) -> Fetched:
            fetched = fetch(row, bucket, folder)
            bar.advance()
            return fetched

        try:
            return list(pool.map(one, rows))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def fetch(row: Listed, bucket: Bucket, folder: Path) -> Fetched:
    """Fetch one picture, unless it is there in its whole length; a file gets its name when it is whole."""
    place = PurePosixPath(FILES, row.s3_image)
    path = folder / row.s3_image
    try:
        size = bucket.size(row.s3_image)
        if path.is_file() and path.stat().st_size == size:
            return Fetched(row=located(row, str(place)), state="there", size=size)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            bucket.fetch(row.s3_image, part)
            if part.stat().st_size != size:
                raise OSError(f"{row.s3_image}: {part.stat().st_size} bytes came, it has {size}")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except MissingError:
        return Fetched(row=row, state="missing")
    return Fetched(row=located(row, str(place)), state="fetched", size=size)


def take_what_is_there(rows: list[Listed], source: Path, folder: Path) -> list[Fetched]:
    """Take the files that the CSV's own local_image names, below the data folder."""
    without = next((row for row in rows if not row.local_image), None)
    if without is not None:
        raise TableError(
            f"{without.s3_image} has no local_image, which data.download_data: false takes: add the column, a path in "
            "the data folder for each picture, or set data.download_data to true"
        )
    found = []
    for row in rows:
        path = source / row.local_image
        if not path.resolve().is_relative_to(source.resolve()):
            raise TableError(f"local_image {row.local_image!r} is not in the data folder")
        if not path.is_file():
            found.append(Fetched(row=row, state="missing"))
            continue
        target = folder / FILES / row.s3_image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        place = str(PurePosixPath(FILES, row.s3_image))
        found.append(Fetched(row=located(row, place), state="there", size=path.stat().st_size))
    return found


def finish(fetched: list[Fetched], folder: Path, names: list[str], data: Mapping[str, Any]) -> dict[str, Any]:
    """Write both tables, and say what is missing; raise ValueError where that is more than `data.missing_pct`."""
    missing = [one.row.s3_image for one in fetched if one.state == "missing"]
    here = [one for one in fetched if one.state != "missing"]
    allowed = read_number(data, "data.missing_pct", float, least=0)
    write_rows(folder / MISSING, ["s3_image"], [{"s3_image": name} for name in missing])
    for name in missing:
        print(f"missing: {name}")
    if len(missing) > allowed * len(fetched):
        shown = ", ".join(missing[:5]) + ("" if len(missing) <= 5 else f" and {len(missing) - 5} more")
        raise ValueError(
            f"{len(missing)} of {len(fetched)} pictures are missing, more than data.missing_pct {allowed:g} allows: "
            f"{shown}"
        )
    write_listed(folder / CSV, [one.row for one in here])
    counts = {state: sum(one.state == state for one in fetched) for state in ("fetched", "there", "missing")}
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    metrics = {**counts, "pictures": len(here), "bytes": sum(one.size for one in here)}
    return {"metrics": metrics, "labels": names}
