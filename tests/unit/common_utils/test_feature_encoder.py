import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_utils.feature_encoder import FeatureEncoder

ROWS = [[20, "red", 1.5], [30, "blue", 2.5], [40, "red", 3.5]]
NAMES = ["age", "colour", "size"]
CELLS = st.tuples(
    st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9),
    st.sampled_from(["red", "blue", "green", ""]),
    st.floats(-1e6, 1e6),
).map(list)


@pytest.fixture
def encoder() -> FeatureEncoder:
    return FeatureEncoder.fit(ROWS, names=NAMES)


def test_numbers_stay_and_categories_become_one_hot(encoder):
    features = encoder.transform(ROWS)
    assert features.dtype == np.float32
    assert encoder.feature_names == ("age", "colour=blue", "colour=red", "size")
    assert features.tolist() == [[20, 0, 1, 1.5], [30, 1, 0, 2.5], [40, 0, 1, 3.5]]


def test_numbers_are_standardised_on_request():
    features = FeatureEncoder.fit(ROWS, names=NAMES, standardize=True).transform(ROWS)
    assert features[:, [0, 3]].mean(axis=0) == pytest.approx(0)
    assert features[:, [0, 3]].std(axis=0) == pytest.approx(1)


def test_a_column_that_never_varies_is_no_division_by_zero():
    encoder = FeatureEncoder.fit([[5], [5]], names=["n"], standardize=True)
    assert encoder.transform([[5], [6]]).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize("copies", [1, 100], ids=["few", "many"])
def test_unknown_categories_are_zeros_and_counted(encoder, copies):
    features = encoder.transform([[1, "pink", 2.0]] * copies)
    assert features.tolist() == [[1, 0, 0, 2]] * copies
    assert encoder.unknown == Counter(colour=copies)


@given(st.lists(CELLS, max_size=60))
def test_a_row_gives_the_same_bits_alone_and_among_many(rows):
    encoder = FeatureEncoder.fit(ROWS, names=NAMES, standardize=True)
    together = encoder.transform(rows)
    alone = [encoder.transform([row])[0] for row in rows]
    assert together.shape == (len(rows), 4)
    assert together.tobytes() == np.array(alone, dtype=np.float32).tobytes()
    assert encoder.transform(rows * 30).tobytes() == np.tile(together, (30, 1)).tobytes()


def test_json_brings_the_same_encoder_back():
    encoder = FeatureEncoder.fit(ROWS, names=NAMES, standardize=True)
    again = FeatureEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again.columns == encoder.columns
    assert np.array_equal(again.transform(ROWS), encoder.transform(ROWS))


def test_numpy_values_and_arrays_are_rows_too(encoder):
    expected = encoder.transform(ROWS)
    assert np.array_equal(encoder.transform(np.array(ROWS, dtype=object)), expected)
    assert np.array_equal(encoder.transform([(np.int64(a), np.str_(b), np.float32(c)) for a, b, c in ROWS]), expected)


@pytest.mark.parametrize("good_rows", [1, 100], ids=["few", "many"])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, "red"], r"instance {n}: 2 values, expected 3 \(age, colour, size\)"),
        ([1, "red", 2, 3], "instance {n}: 4 values, expected 3"),
        (["25", "red", 2], r"instance {n}, column 1 \(age\): '25' \(str\) is no number"),
        ([True, "red", 2], r"instance {n}, column 1 \(age\): True \(bool\) is no number"),
        ([None, "red", 2], r"instance {n}, column 1 \(age\): None \(NoneType\) is no number"),
        ([[1], "red", 2], r"instance {n}, column 1 \(age\): \[1\] \(list\) is no number"),
        ([1, 7, 2], r"instance {n}, column 2 \(colour\): 7 \(int\) is no string, for example 'blue'"),
        ([1, None, 2], r"instance {n}, column 2 \(colour\): None \(NoneType\) is no string"),
        ([1, ["red"], 2], r"instance {n}, column 2 \(colour\): \['red'\] \(list\) is no string"),
        ([1, "red", float("nan")], r"instance {n}, column 3 \(size\): nan \(float\) is not finite, or too large"),
        ([1, "red", float("inf")], r"instance {n}, column 3 \(size\): inf \(float\) is not finite"),
        ([1, "red", 1e39], r"instance {n}, column 3 \(size\): 1e\+39 \(float\) is not finite, or too large"),
        ([1, "red", 10**400], r"instance {n}, column 3 \(size\): 10+\.\.\. \(int\) is not finite, or too large"),
        ("red", r"instance {n}: 'red' \(str\) is no list of 3 values"),
        ({"age": 1}, r"instance {n}: {{'age': 1}} \(dict\) is no list of 3 values"),
        (None, r"instance {n}: None \(NoneType\) is no list"),
        (3, r"instance {n}: 3 \(int\) is no list"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(encoder, good_rows, row, message):
    with pytest.raises(ValueError, match=message.format(n=good_rows)):
        encoder.transform([*ROWS[:1] * good_rows, row])


@pytest.mark.parametrize("rows", [None, 3, "rows", {"instances": []}])
def test_what_is_no_list_of_rows_is_refused(encoder, rows):
    with pytest.raises(ValueError, match="must be a list of lists"):
        encoder.transform(rows)


def test_a_request_that_is_refused_counts_nothing(encoder):
    with pytest.raises(ValueError):
        encoder.transform([[1, "pink", 2], [1, "pink", "x"]])
    assert not encoder.unknown


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([[1, "a"], [2]], "row 1 has 1 values, expected 2"),
        ([["x", "a"], [2, "b"]], r"row 0, column n: 'x' \(str\) is no number"),
        ([[float("nan"), "a"]], "row 0, column n: nan"),
    ],
)
def test_learning_from_uneven_rows_is_an_error(rows, message):
    with pytest.raises(ValueError, match=message):
        FeatureEncoder.fit(rows, names=["n", "c"])
