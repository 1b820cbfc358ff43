"""The tumor models' training data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common_utils.tabular_training import Examples, Task, make_task, reference_of
from tumor_diagnosis.common_utils.tumor import LABEL, LABELS


def read_task(payload: Mapping[str, Any]) -> Task:
    """Read the training file that `$ref` names, and `<its name>-heldout.csv` beside it."""
    path = Path(reference_of(payload))
    train, held_out = (
        Examples.read(file, column=LABEL, labels=LABELS) for file in (path, path.with_stem(f"{path.stem}-heldout"))
    )
    return make_task(str(path), train, held_out, standardize=True)
