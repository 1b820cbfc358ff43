import datetime
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.values import NotJSONError, to_json_bytes


class Tensor:
    """Looks like torch.Tensor: nothing but `tolist` is used."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


class Broken:
    """A value whose own conversion fails, as if the client had made a mistake."""

    def isoformat(self) -> str:
        raise ValueError("no such day")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_plain_json_stays_as_it_is(value: Any) -> None:
    assert json.loads(to_json_bytes(value)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1.5, float("nan"), float("inf"), -float("inf")]}, {"a": [1.5, None, None, None]}),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        ({"p": np.float32(0.5), "n": np.int64(3), "b": np.bool_(True)}, {"p": 0.5, "n": 3, "b": True}),
        ([np.float64("nan"), np.str_("x")], [None, "x"]),
        (np.array([{"a": np.float32("inf")}], dtype=object), [{"a": None}]),
        ({np.int64(1): "a", 2: "b", None: "c", float("nan"): "d"}, {"1": "a", "2": "b", "null": "c", "nan": "d"}),
        (np.array(["2024-01-02", "NaT"], dtype="datetime64[D]"), ["2024-01-02", None]),
        (np.array(["2024-01-02", "NaT"], dtype="datetime64[ns]"), ["2024-01-02T00:00:00", None]),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (Tensor([[0.25, float("nan")]]), [[0.25, None]]),
        ((1, (2, 3)), [1, [2, 3]]),
        ("\ud800", "\ud800"),
    ],
)
def test_foreign_values_become_json(value: Any, expected: Any) -> None:
    assert json.loads(to_json_bytes(value)) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"^\$ is a object, which JSON can't hold$"),
        ({"labels": ["a", {"b"}]}, r"^\$\.labels\[1\] is a set, which JSON can't hold$"),
        ([{"x": b"raw"}], r"^\$\[0\]\.x is a bytes, which JSON can't hold$"),
        ({"a": {(1, 2): 3}}, r"^\$\.a has the key \(1, 2\) \(tuple\)"),
        (np.array([1j]), r"^\$\[0\] is a complex"),
        ({"a": [1, 10**5000]}, r"^\$\.a\[1\] is a int that can't be made JSON: ValueError: Exceeds the limit"),
        ([{10**5000: 1}], r"^\$\[0\] is a dict that can't be made JSON: ValueError: Exceeds the limit"),
        ([{(10**5000,): 1}], r"^\$\[0\] is a dict that can't be made JSON: ValueError: Exceeds the limit"),
        ({"day": Broken()}, r"^\$\.day is a .*Broken that can't be made JSON: ValueError: no such day$"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(NotJSONError, match=message):
        to_json_bytes(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotJSONError, match="nested more than 200 levels deep, or holds itself"):
        to_json_bytes(value)
