import json
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.runtime.worker.batching import MismatchError, Plan, UnsafeError, kind_of, learn

ROWS = [[1, 0.5, "a"], [2, 1.5, "b"], [3, 2.5, "a"]]


def verify(function: Callable[[Any], Any], payload: Any = None, *, size: int = 16, tolerance: float = 1e-5) -> Plan:
    """Learn of a plain function, as the worker does."""
    call = lambda payload: json.loads(json.dumps(function(payload)))  # noqa: E731
    return learn(call, {"instances": ROWS} if payload is None else payload, size=size, tolerance=tolerance)


def score(payload: Any) -> dict[str, Any]:
    return {"scores": [row[0] * row[1] for row in payload["instances"]], "model": {"name": "m", "labels": ["a", "b"]}}


def test_fields_that_grow_are_told_from_those_that_stay() -> None:
    plan = verify(score)
    first, second = {"instances": ROWS[:1]}, {"instances": ROWS[1:]}
    answer = score(plan.join([first, second]))
    assert plan.split(answer, [1, 2]) == [score(first), score(second)]


@pytest.mark.parametrize(
    "function", [lambda p: [row[0] for row in p["instances"]], lambda p: {"a": {"b": p["instances"]}}]
)
def test_a_list_alone_and_nested_fields_can_be_cut(function: Callable[[Any], Any]) -> None:
    plan = verify(function)
    assert plan.split(function({"instances": ROWS}), [2, 1]) == [
        function({"instances": ROWS[:2]}),
        function({"instances": ROWS[2:]}),
    ]


def by_mean(payload: Any) -> list[float]:
    values = [row[0] for row in payload["instances"]]
    return [value - sum(values) / len(values) + 1 / value for value in values]


def test_noise_of_the_last_digits_is_within_the_tolerance_and_no_more() -> None:
    def noisy(payload: Any) -> list[float]:
        rows = payload["instances"]
        return [row[0] * (1 + 1e-9 * len(rows)) for row in rows]

    assert verify(noisy)
    with pytest.raises(UnsafeError, match=r"differently among 2 than alone, by 1e-09 \(BATCH_TOLERANCE is 1e-12\)"):
        verify(noisy, tolerance=1e-12)
    with pytest.raises(UnsafeError, match="BATCH_TOLERANCE is 0"):
        verify(noisy, tolerance=0.0)


def counting() -> Callable[[Any], Any]:
    calls: list[int] = []

    def function(payload: Any) -> Any:
        calls.append(1)
        return [[row, len(calls)] for row in payload["instances"]]

    return function


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda p: len(p["instances"]), "the answer neither has an entry for each instance nor stays the same"),
        (lambda p: {"rows": p["instances"], "n": len(p["instances"])}, r"\$\.n of the answer neither"),
        (lambda p: {"best": max(p["instances"])}, r"\$\.best of the answer neither"),
        (lambda p: {"version": 3}, "no part of the answer has an entry"),
        (lambda p: ["yes" for _ in p["instances"]], "answered alike"),
        (lambda p: [str(rows) for rows in sorted(p["instances"])], "differently among 2 than alone"),
        (by_mean, "differently among 2 than alone"),
        (counting(), "differently when it is sent again"),
        (lambda p: p["instances"] if len(p["instances"]) < 9 else p["instances"][:9], "no entry for each instance"),
        (lambda p: {str(n): row for n, row in enumerate(p["instances"])}, "neither has an entry"),
    ],
)
def test_what_is_not_safe_is_off_with_the_reason(function: Callable[[Any], Any], reason: str) -> None:
    with pytest.raises(UnsafeError, match=reason):
        verify(function)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"text": "hello"}, "no object with a list of `instances`"),
        ([[1], [2]], "no object with a list"),
        ({"instances": [[1]]}, "no two different test instances"),
        ({"instances": [[1], [1]]}, "no two different test instances"),
        ({"instances": [[1], ["a"]]}, "no two different test instances of the same types"),
    ],
)
def test_test_instances_that_show_too_little_are_a_reason(payload: Any, reason: str) -> None:
    with pytest.raises(UnsafeError, match=reason):
        verify(lambda p: p, payload)


def test_a_size_of_one_turns_it_off() -> None:
    with pytest.raises(UnsafeError, match="BATCH_SIZE is 1"):
        verify(score, size=1)


@pytest.mark.parametrize(
    "payload",
    [
        [[1, 0.5, "a"]],
        {"instances": []},
        {"instances": "abc"},
        {"instances": [[1, 0.5, "a"]], "explain": True},
        {"instances": [[1, 0.5]]},
        {"instances": [[1.0, 0.5, "a"]]},
        {"instances": [[None, 0.5, "a"]]},
        {"instances": [[True, 0.5, "a"]]},
        {"instances": [[2**63, 0.5, "a"]]},
        {"instances": [[1, 0.5, "a"], ["1", 0.5, "a"]]},
        {"rows": [[1, 0.5, "a"]]},
        7,
    ],
)
def test_what_is_unlike_the_test_instances_keeps_its_own_call(payload: Any) -> None:
    assert verify(score).find_kind(payload) is None


def test_a_whole_number_may_stand_for_a_float_only() -> None:
    plan = verify(score)
    assert plan.find_kind({"instances": [[1, 2, "z"]]}) == plan.find_kind({"instances": ROWS}) == kind_of(ROWS[0])


@pytest.mark.parametrize("refuses", [True, False])
def test_no_whole_number_stands_for_a_float_where_that_is_answered_otherwise_alone(refuses: bool) -> None:
    def by_array(payload: Any) -> list[str]:
        values = [row[0] for row in payload["instances"]]
        are_whole = all(isinstance(value, int) for value in values)
        if are_whole and refuses:
            raise TypeError("expected floats but found integers")
        return [str(value if are_whole else float(value)) for value in values]

    plan = verify(by_array, {"instances": [[0.5], [1.5]]})
    assert plan.find_kind({"instances": [[2.5]]}) is not None
    assert plan.find_kind({"instances": [[2]]}) is None


def test_other_fields_must_be_those_of_the_test_instances() -> None:
    plan = verify(score, {"instances": ROWS, "threshold": 1})
    assert plan.find_kind({"instances": ROWS, "threshold": 1}) is not None
    assert plan.find_kind({"instances": ROWS, "threshold": 2}) is None
    assert plan.find_kind({"instances": ROWS, "threshold": True}) is None
    assert plan.find_kind({"instances": ROWS, "threshold": 1.0}) is None
    assert plan.find_kind({"instances": ROWS}) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"scores": [1.0], "model": {"name": "m", "labels": ["a", "b"]}},
        {"scores": [1.0, 2.0], "model": {"name": "other", "labels": ["a", "b"]}},
        {"scores": [1.0, 2.0]},
        [1.0, 2.0],
    ],
)
def test_an_answer_of_another_form_is_not_cut(answer: Any) -> None:
    with pytest.raises(MismatchError):
        verify(score).split(answer, [1, 1])
