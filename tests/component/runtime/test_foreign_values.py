"""What real pandas, numpy and scipy values become in an answer: a form each, or an error that names type and place."""

import json
import warnings
from collections import namedtuple
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.sagemaker import decode_csv
from modelyard.runtime.values import NotJSONError, to_json_bytes
from modelyard.runtime.worker.batching import UnsafeError, learn

Point = namedtuple("Point", "x y")


@dataclass
class Score:
    label: str
    value: Any


@dataclass
class Scores:
    best: Score
    others: list[Score]


DAY = ["2024-01-02"]
TIMES = pd.to_datetime(DAY)
BERLIN = TIMES.tz_localize("Europe/Berlin")
FIELDS = np.array(
    [("2024-01-02", 90, (1, 0.5))], dtype=[("t", "M8[ns]"), ("d", "m8[s]"), ("n", [("a", "i4"), ("b", "f8")])]
)

FORMS = {
    "timedelta": (timedelta(days=1, seconds=1.5), "P1DT0H0M1.5S"),
    "timedelta below zero": (timedelta(seconds=-90), "-P0DT0H1M30S"),
    "pandas.Timedelta": (pd.Timedelta("1 days 00:00:01.5"), "P1DT0H0M1.5S"),
    "pandas.Timedelta below zero": (pd.Timedelta(seconds=-90), "-P0DT0H1M30S"),
    "pandas.Timedelta of nanoseconds": (pd.Timedelta(5, "ns"), "P0DT0H0M0.000000005S"),
    **{
        f"timedelta64[{unit}]": (np.timedelta64(90 * 1000**power, unit), "P0DT0H1M30S")
        for power, unit in enumerate(["s", "ms", "us", "ns", "ps"])
    },
    "timedelta64[D]": (np.timedelta64(2, "D"), "P2DT0H0M0S"),
    "timedelta64[Y]": (np.timedelta64(2, "Y"), "P2Y"),
    "timedelta64[M]": (np.array([3], dtype="m8[M]"), ["P3M"]),
    "timedelta64[15s]": (np.array([2, "NaT"], dtype="m8[15s]"), ["P0DT0H0M30S", None]),
    "durations in a Series": (pd.Series(pd.to_timedelta([90], unit="s")), ["P0DT0H1M30S"]),
    "durations in a frame": (pd.DataFrame({"t": pd.to_timedelta([90], unit="s")}), [{"t": "P0DT0H1M30S"}]),
    "datetime64[ns]": (np.datetime64("2024-01-02T00:00:00.123456789"), "2024-01-02T00:00:00.123456789"),
    "datetime64[us]": (np.array(["2024-01-02T00:00:00.5"], dtype="M8[ns]"), ["2024-01-02T00:00:00.500000"]),
    "datetime64[Y]": (np.datetime64("2024"), "2024-01-01"),
    "datetime64[h]": (np.datetime64("2024-01-02T05", "h"), "2024-01-02T05:00:00"),
    "datetime64 beyond Python": (np.array(["12024-01-02", "NaT"], dtype="M8[s]"), ["12024-01-02T00:00:00", None]),
    "Timestamp": (TIMES[0], "2024-01-02T00:00:00"),
    "time zone": (pd.DataFrame({"t": BERLIN}), [{"t": "2024-01-02T00:00:00+01:00"}]),
    "Period": (pd.DataFrame({"p": pd.period_range("2024-01", periods=1, freq="M")}), [{"p": "2024-01"}]),
    "Interval": (pd.cut(pd.Series([1, 4]), [0, 2, 4]), ["(0, 2]", "(2, 4]"]),
    "Categorical": (pd.Series(["a", None], dtype="category"), ["a", None]),
    "nullable": (pd.Series([1, None], dtype="Int64"), [1, None]),
    "Decimal": ([Decimal("1.10"), Decimal("NaN")], ["1.10", None]),
    "Fraction": (Fraction(1, 3), "1/3"),
    "sparse column": (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), [{"a": 0}, {"a": 1}]),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
    "masked dates": (np.ma.array(np.array(DAY * 2, dtype="M8[ns]"), mask=[0, 1]), ["2024-01-02T00:00:00", None]),
    "structured": (FIELDS, [{"t": "2024-01-02T00:00:00", "d": "P0DT0H1M30S", "n": {"a": 1, "b": 0.5}}]),
    "a row of a structured array": (FIELDS[0]["n"], {"a": 1, "b": 0.5}),
    "long double": (np.array([0.5], dtype=np.longdouble), [0.5]),
    "dataclasses": (
        Scores(Score("a", np.float32(0.5)), [Score("b", np.array([1]))]),
        {"best": {"label": "a", "value": 0.5}, "others": [{"label": "b", "value": [1]}]},
    ),
    "namedtuple": (Point(1, 2), [1, 2]),
    "columns of numbers": (pd.DataFrame([[1, 2]]), [{"0": 1, "1": 2}]),
    "columns of dates": (pd.DataFrame([[1]], columns=TIMES), [{"2024-01-02T00:00:00": 1}]),
    "keys": ({1: "a", date(2024, 1, 2): "b", np.int64(2): "c"}, {"1": "a", "2024-01-02": "b", "2": "c"}),
    "index of numbers": (pd.DataFrame({"a": [1]}, index=[7]), [{"a": 1}]),
    "index with a name": (pd.DataFrame({"k": ["x", "x"], "v": [1, 2]}).groupby("k").sum(), [{"k": "x", "v": 3}]),
    "index of text": (pd.DataFrame({"a": [1]}, index=["r"]), [{"index": "r", "a": 1}]),
    "index of two levels": (
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("x", 1)], names=["k", "n"])),
        [{"k": "x", "n": 1, "a": 1}],
    ),
    "Series of labels": (pd.Series([3, 2], index=["a", "b"]), {"a": 3, "b": 2}),
    "Series of dates": (pd.Series([0.5], index=TIMES), {"2024-01-02T00:00:00": 0.5}),
    "Series of rows": (pd.Series([3, 2], index=[5, 9]), [3, 2]),
}


@pytest.mark.parametrize(("value", "expected"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_value_has_one_form(value: Any, expected: Any, inside: bool) -> None:
    content = to_json_bytes({"a": [value], "nan": float("nan")} if inside else value)
    assert json.loads(content) == ({"a": [expected], "nan": None} if inside else expected)


TWINS = pd.DataFrame([[1, 2]], columns=["a", "a"])
LOST = {
    "two columns of one name": ({"rows": TWINS}, r"^\$\.rows is a pandas\S*DataFrame that .*columns is named 'a'$"),
    "columns that are one in JSON": (pd.DataFrame([[1, 2]], columns=[1, "1"]), r'^\$\[0\] has two keys that are "1"'),
    "keys that are one in JSON": (
        {"x": [{1: "a", "1": "b"}]},
        r"^\$\.x\[0\] has two keys that are \"1\" in JSON: 1 and '1'$",
    ),
    "True": ({True: 1, "true": 2}, r'^\$ has two keys that are "true"'),
    "None": ({None: 1, "null": 2}, r'^\$ has two keys that are "null"'),
    "NaN": ({float("nan"): 1, "nan": 2}, r'^\$ has two keys that are "nan"'),
    "labels of a Series": (pd.Series([1, 2], index=["a", "a"]), r"Series that .* the label 'a'$"),
    "columns of two levels": (
        pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
        r"^\$\[0\] has the key \('a', 'b'\) \(tuple\)",
    ),
    "an index named like a column": (
        pd.DataFrame({"a": [1]}, index=pd.Index(["r"], name="a")),
        r"^\$ is a pandas\S*DataFrame that can't be made JSON: ValueError: cannot insert a",
    ),
    "complex": (np.array([1 + 2j]), r"^\$\[0\] is a complex"),
    "long complex": (np.array([1], dtype=np.clongdouble), r"^\$\[0\] is a numpy.clongdouble, which JSON can't hold$"),
    "bytes in an array": (np.array([b"ab"]), r"^\$\[0\] is a bytes"),
    "sets": ({"a": frozenset({1})}, r"^\$\.a is a frozenset"),
    "sparse matrix": (
        {"m": sparse.csr_matrix([[0, 1]])},
        r"^\$\.m is a scipy\.sparse\S*csr_matrix, which JSON can't hold$",
    ),
    "sparse array": (sparse.coo_array([[0, 1]]), r"^\$ is a scipy\.sparse\S*coo_array, which"),
    "a duration without a unit": (np.timedelta64(2), r"^\$ is a numpy.timedelta64 that .* without a unit$"),
}


@pytest.mark.parametrize(("value", "message"), LOST.values(), ids=LOST)
def test_what_would_be_lost_is_an_error_with_its_place(value: Any, message: str) -> None:
    with warnings.catch_warnings(), pytest.raises(NotJSONError, match=message):
        warnings.simplefilter("error")
        to_json_bytes(value)


def answer_with_frame(rows: Any) -> Any:
    return pd.DataFrame({"wait": pd.to_timedelta([row[0] for row in rows], unit="s"), "at": TIMES[0]})


SHARED = {
    "frame of durations": answer_with_frame,
    "structured": lambda rows: np.array([(row[0], row[0]) for row in rows], dtype=[("d", "m8[s]"), ("n", "i8")]),
    "Series of rows": lambda rows: {"scores": pd.Series([Decimal(row[0]) for row in rows])},
    "dataclass": lambda rows: Score("constant", np.ma.array([row[0] for row in rows], mask=[False for _ in rows])),
}
ALONE = {
    "labels from the rows": lambda rows: pd.Series([row[0] for row in rows], index=[f"id{row[0]}" for row in rows]),
    "an index that counts": lambda rows: pd.DataFrame(
        {"v": [row[0] for row in rows]}, index=pd.RangeIndex(len(rows), name="row")
    ),
    "one label": lambda rows: pd.Series([len(rows), sum(row[0] for row in rows)], index=["count", "sum"]),
}
PAYLOAD = {"instances": [[1], [20], [300]]}


def as_answer(function: Any) -> Any:
    return lambda payload: json.loads(to_json_bytes(function(payload["instances"])))


@pytest.mark.parametrize("function", SHARED.values(), ids=SHARED)
def test_forms_of_rows_are_cut_apart_right(function: Any) -> None:
    call = as_answer(function)
    plan = learn(call, PAYLOAD, size=8, tolerance=0.0)
    requests = [{"instances": [[7], [8]]}, {"instances": [[90061]]}]
    parts = plan.split(call(plan.join(requests)), [2, 1])
    assert parts == [call(request) for request in requests]


@pytest.mark.parametrize("function", ALONE.values(), ids=ALONE)
def test_forms_that_depend_on_the_other_rows_are_not_shared(function: Any) -> None:
    with pytest.raises(UnsafeError):
        learn(as_answer(function), PAYLOAD, size=8, tolerance=0.0)


def test_a_csv_with_two_columns_of_one_name_is_refused() -> None:
    with pytest.raises(Problem, match="more than one column is named 'age'"):
        decode_csv("age,job,age\n1,x,2\n", has_header=True)
