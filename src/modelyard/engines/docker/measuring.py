"""The bill of an image in an engine: its layers by its history, its packages by the files it is made of."""

import tarfile
from collections.abc import Mapping
from typing import Any

from modelyard.engines.docker.client import Client, is_missing
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import Image
from modelyard.errors import EngineError
from modelyard.images.bill import Bill, LayerSize, bill_packages, is_record
from modelyard.images.builder import ENVIRONMENTS

_UNTITLED = "(a layer without a title)"


def measure_image(client: Client, image: Image) -> Bill:
    """Measure an image; nothing of it is run, so it needs no shell."""
    id = f"sha256:{image.id}"
    with client.talking(f"measure {id[:19]}"):
        history = client.api.history(id)
    layers = [LayerSize(title=_title(entry), size=entry["Size"]) for entry in history if entry["Size"]]
    sizes, records = _read_environments(client, id)
    return Bill(
        size=image.size,
        layers=tuple(sorted(layers, key=lambda layer: -layer.size)),
        packages=bill_packages(sizes, records),
    )


def _title(entry: Mapping[str, Any]) -> str:
    """What a layer is; Podman has but the shell for what it commits."""
    return _UNTITLED if entry["CreatedBy"] in ("", "/bin/sh") else str(entry["CreatedBy"])


def _read_environments(client: Client, image: str) -> tuple[dict[str, int], dict[str, str]]:
    """The bytes of each file of the environments, and the text of each RECORD; nothing where there are none."""
    sizes: dict[str, int] = {}
    records: dict[str, str] = {}
    try:
        with (
            open_workshop(client, image, start=False) as workshop,
            workshop.download(f"{ENVIRONMENTS}/.") as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            for member in filter(tarfile.TarInfo.isreg, archive):
                path = member.name.removeprefix("./")
                sizes[path] = member.size
                if is_record(path) and (file := archive.extractfile(member)):
                    records[path] = file.read().decode(errors="replace")
    except EngineError as error:
        if not is_missing(error):
            raise
    return sizes, records
