"""Data sets of a project: made of files here or in a store, listed, removed."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.commands.reporter import Reporter
from modelyard.datasets.arrays import open_array, split_name
from modelyard.datasets.library import (
    PARTS,
    DataSet,
    Part,
    check_free,
    check_name,
    scratch_beside,
    write_dataset,
)
from modelyard.errors import InputError, ModelyardError
from modelyard.store.transfer import fetch

if TYPE_CHECKING:
    from modelyard.datasets.arrays import Array

_NUMPY = "reading arrays needs numpy: pip install 'modelyard[data]'"


@dataclass(frozen=True, kw_only=True)
class DataSetRequest:
    """A data set to make: its name, the project's data/, and by `train-data`, `test-labels` the file or address."""

    name: str
    folder: Path
    sources: Mapping[str, str]
    start: Path
    """What relative paths start from."""


def create_dataset(request: DataSetRequest, reporter: Reporter) -> DataSet:
    """Read the four arrays, check that they fit together, and write the data set whole or not at all."""
    check_free(request.folder / check_name(request.name))
    with reporter.step(f"making the data set {request.name}") as step, ExitStack() as stack:
        scratch = stack.enter_context(scratch_beside(request.folder, request.name))
        parts = {part: _open_part(request, part, scratch) for part in PARTS}
        dataset = write_dataset(request.folder, request.name, parts, scratch=scratch)
        step.done(f"the data set {request.name} is in {dataset.path}")
    return dataset


def _open_part(request: DataSetRequest, part: str, scratch: Path) -> Part:
    data, labels = (_open(request, f"{part}-{kind}", scratch) for kind in ("data", "labels"))
    return Part(data=data, labels=labels)


def _open(request: DataSetRequest, key: str, scratch: Path) -> "Array":
    text, name = split_name(request.sources[key])
    try:
        path = _locate(text, request.start, scratch / f"fetched-{key}")
        return open_array(path, name=name, scratch=scratch)
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise ModelyardError(_NUMPY, hint="or into the tool's own .venv of a checkout: make setup") from None
    except InputError as error:
        raise InputError(f"--{key.replace('-', '')} {error.message}", hint=error.hint) from None


def _locate(text: str, start: Path, target: Path) -> Path:
    """The file on this machine; one in a store is got first."""
    return fetch(text, target) if "://" in text else (start / Path(text).expanduser()).resolve()
