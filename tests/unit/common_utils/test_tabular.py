from pathlib import Path

import numpy as np
import pytest

from common_utils.tabular_serving import as_answer, instances_of
from common_utils.tabular_training import Examples, make_task, reference_of

LABELS = ("no", "yes")


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path


def test_examples_are_features_and_labels_as_numbers(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "size,answer,color\n1,yes,red\n2,no,blue\n3,no,red\n")
    examples = Examples.read(path, column="answer", labels=LABELS)
    assert examples.table.names == ("size", "color")
    assert examples.labels.tolist() == [1, 0, 0]
    picked = examples.pick(np.array([0, 2]))
    assert picked.table.rows == [[1, "red"], [3, "red"]]
    assert picked.labels.tolist() == [1, 0]


def test_an_unknown_label_names_file_value_and_what_is_expected(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "size,answer\n1,maybe\n")
    with pytest.raises(ValueError, match=r"rows\.csv: answer is 'maybe', expected 'no' or 'yes'"):
        Examples.read(path, column="answer", labels=LABELS)


def test_a_task_is_encoded_by_what_is_trained_on_alone(tmp_path: Path) -> None:
    train = Examples.read(write_csv(tmp_path, "x,answer\n0,no\n2,yes\n"), column="answer", labels=LABELS)
    held_out = Examples.read(write_csv(tmp_path, "x,answer\n4,yes\n"), column="answer", labels=LABELS)
    task = make_task("rows.csv", train, held_out, standardize=True)
    assert task.features.ravel().tolist() == [-1, 1]
    assert task.held_out_features.ravel().tolist() == [3]


@pytest.mark.parametrize("payload", [{}, {"$ref": 3}])
def test_no_reference_is_an_error(payload: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected the path of the training data"):
        reference_of(payload)


@pytest.mark.parametrize("payload", [None, [], {}, {"instances": 3}, {"instances": []}])
def test_no_instances_are_an_error(payload: object) -> None:
    with pytest.raises(ValueError, match=r"instances"):
        instances_of(payload, example="[1, 2]")


def test_the_label_is_that_of_the_probability_that_is_shown() -> None:
    answer = as_answer(np.array([0.49999999, 0.1]), LABELS)
    assert answer == {"predictions": ["yes", "no"], "probabilities": [0.5, 0.1]}
