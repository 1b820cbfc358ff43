"""Values of pandas become JSON as those of numpy do."""

import json
from typing import Any

import pandas as pd
import pytest

from modelyard.runtime.values import to_json_bytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pd.Series([pd.Timestamp("2024-01-02"), None]), ["2024-01-02T00:00:00", None]),
        (pd.Series([1.0, None]), [1.0, None]),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        ([pd.NA, pd.NaT, pd.Timestamp("2024-01-02")], [None, None, "2024-01-02T00:00:00"]),
    ],
)
def test_values_of_pandas_become_json(value: Any, expected: Any) -> None:
    assert json.loads(to_json_bytes(value)) == expected
