"""The income models' training data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common_utils.split import split_stratified
from common_utils.tabular_training import Examples, Task, make_task, reference_of
from finance_income_prediction.common_utils.income import LABEL, LABELS


def read_task(payload: Mapping[str, Any], *, standardize: bool = False) -> Task:
    """Read the training file that `$ref` names, and the held-out file beside it.

    Where there is no held-out file, a fifth of the training rows is held out.
    """
    reference = reference_of(payload)
    examples = Examples.read(reference, column=LABEL, labels=LABELS)
    beside = reference.replace("prepped", "heldout")
    if beside != reference and Path(beside).is_file():
        held_out = Examples.read(beside, column=LABEL, labels=LABELS)
        return make_task(reference, examples, held_out, standardize=standardize)
    train, test = split_stratified(examples.labels, held_out=0.2)
    return make_task(reference, examples.pick(train), examples.pick(test), standardize=standardize)
