"""Batching that is verified or off: which requests may share one call of a function, and whose answer is whose.

`learn` calls the function with one, two, three and many rows of the model's own test instances. Each field of the
answer then either has one entry a row, or is the same whatever the rows are; and the answers of many rows, cut apart,
are those of single ones. Where that does not hold, it raises UnsafeError with the reason, and every request keeps its
own call.

Requests share a call when their rows are of kinds that were verified: the same JSON types at the same places. So a row
that would turn a column of integers into one of floats, or of objects, never meets other clients' rows. A whole number
stands for a float where that was tried, and changed nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import accumulate, cycle, islice
from typing import Any

Call = Callable[[Any], Any]
"""Calls the function with a payload; returns its answer as JSON holds it."""
ROWS = "rows"
_TRIED = 8
_KINDS_KEPT = 4096


class UnsafeError(Exception):
    """Requests may not share a call; the message says why."""


class MismatchError(Exception):
    """The answer of a shared call is not of the form that was verified."""


class Constant:
    """A part of the answer that does not depend on the rows."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Plan:
    """What was verified of one function: the form of its answers, and the kinds of rows.

    Rows of the kinds in `lenient` may have whole numbers in place of floats.
    """

    def __init__(
        self, *, form: Any, kinds: Sequence[Hashable], others: Mapping[str, Any], lenient: Sequence[Hashable] = ()
    ) -> None:
        self.form = form
        self.lenient = tuple(lenient)
        self._others = dict(others)
        self._known: dict[Hashable, Hashable | None] = {kind: kind for kind in kinds}

    def find_kind(self, payload: Any) -> Hashable | None:
        """What requests must have in common with `payload` to share its call; None where it keeps its own."""
        if type(payload) is not dict:
            return None
        rows = payload.get("instances")
        if type(rows) is not list or not rows:
            return None
        if len(payload) != len(self._others) + 1 or not self._has_same_others(payload):
            return None
        kinds = {self._fit(kind_of(row)) for row in rows}
        return kinds.pop() if len(kinds) == 1 else None

    def join(self, payloads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """One payload with the rows of all."""
        return {**self._others, "instances": [row for payload in payloads for row in payload["instances"]]}

    def split(self, answer: Any, counts: Sequence[int]) -> list[Any]:
        """Cut the answer of a joined payload, whose parts have `counts` rows; raise MismatchError where it can't be."""
        _check_form(self.form, answer, sum(counts))
        return [_cut(self.form, answer, end - count, end) for count, end in zip(counts, accumulate(counts))]

    def _has_same_others(self, payload: Mapping[str, Any]) -> bool:
        return all(key in payload and _is_same(payload[key], value) for key, value in self._others.items())

    def _fit(self, kind: Hashable) -> Hashable | None:
        try:
            return self._known[kind]
        except KeyError:
            fitting = next((verified for verified in self.lenient if _fits(kind, verified)), None)
            if len(self._known) < _KINDS_KEPT:
                self._known[kind] = fitting
            return fitting


def learn(call: Call, payload: Any, *, size: int, tolerance: float) -> Plan:
    """Verify that requests like `payload` may share calls of up to `size` rows; raise UnsafeError where they may not.

    Answers must agree exactly; floats within `tolerance`, relative or absolute: BLAS adds up in another order for
    another number of rows, as it does on another machine.
    """
    if size < 2:
        call(payload)
        raise UnsafeError("BATCH_SIZE is 1")
    if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
        call(payload)
        raise UnsafeError("the test instances are no object with a list of `instances`")
    others = {key: value for key, value in payload.items() if key != "instances"}
    groups = [rows for rows in _group_by_kind(payload["instances"]) if len(rows) > 1]
    if not groups:
        call(payload)
        raise UnsafeError("there are no two different test instances of the same types to compare")

    def ask(rows: Sequence[Any]) -> Any:
        return call({**others, "instances": list(rows)})

    plans = [_learn_kind(ask, rows, others, size=size, tolerance=tolerance) for rows in groups]
    if any(not _is_same_form(plan.form, plans[0].form) for plan in plans):
        raise UnsafeError("the form of the answer depends on the types in a row")
    lenient = [kind for plan in plans for kind in plan.lenient]
    return Plan(form=plans[0].form, kinds=[kind_of(rows[0]) for rows in groups], others=others, lenient=lenient)


def kind_of(value: Any) -> Hashable:
    """The JSON types of a row, place by place.

    >>> kind_of([1, "a", {"b": 0.5}])
    (<class 'list'>, <class 'int'>, <class 'str'>, (<class 'dict'>, ('b', <class 'float'>)))
    """
    kind: Any = type(value)
    if kind is list:
        kinds = tuple(map(type, value))
        distinct = set(kinds)
        if list in distinct or dict in distinct or (int in distinct and any(map(_is_huge, value))):
            return (list, *map(kind_of, value))
        return (list, *kinds)
    if kind is dict:
        return (dict, *((key, kind_of(item)) for key, item in value.items()))
    return "huge" if _is_huge(value) else kind


def _is_huge(value: Any) -> bool:
    """Tell whether it is an integer of which numpy makes an object."""
    return type(value) is int and not -(2**63) <= value < 2**63


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of the same types: 1 is not 1.0 to every function."""
    return bool(one == other) and kind_of(one) == kind_of(other)


def find_distance(one: Any, other: Any) -> float:
    """How far two answers are apart: by their floats, relative to those above 1; by infinity where more differs.

    >>> find_distance({"score": [2.0, 0.5]}, {"score": [2.5, 0.5]})
    0.2
    >>> find_distance(["a"], ["b"])
    inf
    """
    if isinstance(one, float) or isinstance(other, float):
        if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
            return math.inf
        try:
            return abs(one - other) / max(1.0, abs(one), abs(other))
        except OverflowError:  # an integer that is larger than any float
            return math.inf
    if type(one) is not type(other):
        return math.inf
    if isinstance(one, list):
        return max(map(find_distance, one, other), default=0.0) if len(one) == len(other) else math.inf
    if isinstance(one, dict):
        return find_distance(list(one.values()), list(other.values())) if list(one) == list(other) else math.inf
    return 0.0 if one == other else math.inf


def _learn_kind(ask: Call, rows: Sequence[Any], others: Mapping[str, Any], *, size: int, tolerance: float) -> Plan:
    singles = [ask([row]) for row in rows]
    if ask(rows[:1]) != singles[0]:
        raise UnsafeError("the same test instance is answered differently when it is sent again")
    first = rows[0]
    two, three = rows[:2], [*rows, first][:3]
    form = _learn_form([(1, single) for single in singles] + [(2, ask(two)), (3, ask(three))])
    if not _has_rows(form):
        raise UnsafeError("no part of the answer has an entry for each instance")
    if all(find_distance(single, singles[0]) <= tolerance for single in singles):
        raise UnsafeError("all test instances are answered alike, so whose answer is whose can't be verified")
    plan = Plan(form=form, kinds=[kind_of(first)], others=others)
    many = list(islice(cycle(range(len(rows))), max(size, 2)))
    for order in ([0, 1], [1, 0], [index % len(rows) for index in range(3)], many, many[::-1]):
        _verify(plan, ask([rows[index] for index in order]), [singles[index] for index in order], tolerance=tolerance)
    whole = make_whole(first)
    if kind_of(whole) != kind_of(first) and _answers_alike(plan, ask, whole, rows[1], singles[1], tolerance=tolerance):
        plan.lenient = (kind_of(first),)
    return plan


def _answers_alike(plan: Plan, ask: Call, whole: Any, row: Any, single: Any, *, tolerance: float) -> bool:
    """Tell whether `whole`, which has integers in place of floats, is answered beside `row` as it is alone."""
    try:
        _verify(plan, ask([whole, row]), [ask([whole]), single], tolerance=tolerance)
    except (Exception, SystemExit):  # UnsafeError, or the function refuses it
        return False
    return True


def make_whole(row: Any) -> Any:
    """The row with its floats made integers, none of them 0; a number beyond floats stays.

    >>> make_whole([1.5, "a", {"b": 0.25}, float("inf")])
    [1, 'a', {'b': 1}, inf]
    """
    if isinstance(row, float):
        return (int(row) or 1) if math.isfinite(row) else row
    if isinstance(row, list):
        return [make_whole(value) for value in row]
    return {key: make_whole(value) for key, value in row.items()} if isinstance(row, dict) else row


def _verify(plan: Plan, answer: Any, singles: Sequence[Any], *, tolerance: float) -> None:
    try:
        parts = plan.split(answer, [1] * len(singles))
    except MismatchError as error:
        raise UnsafeError(f"{error}, when {len(singles)} instances are sent at once") from None
    distance = max(map(find_distance, parts, singles))
    if distance > tolerance:
        by = "" if distance == math.inf else f", by {distance:.1g} (BATCH_TOLERANCE is {tolerance:g})"
        raise UnsafeError(f"an instance is answered differently among {len(singles)} than alone{by}")


def _group_by_kind(rows: Sequence[Any]) -> list[list[Any]]:
    """Rows that differ, a few of each kind."""
    groups: dict[Hashable, list[Any]] = {}
    for row in rows:
        group = groups.setdefault(kind_of(row), [])
        if len(group) < _TRIED and row not in group:
            group.append(row)
    return list(groups.values())


def _fits(kind: Hashable, verified: Hashable) -> bool:
    """Tell whether a row of `kind` may stand where `verified` was tried: an integer is a float without a fraction."""
    if kind == verified:
        return True
    if isinstance(kind, tuple) and isinstance(verified, tuple) and len(kind) == len(verified):
        return all(_fits(one, other) for one, other in zip(kind, verified))
    return kind is int and verified is float


def _learn_form(answers: Sequence[tuple[int, Any]], place: str = "$") -> Any:
    """The form of the answers to so many rows: ROWS, a Constant, or a dict of forms."""
    first = answers[0][1]
    if all(isinstance(answer, list) and len(answer) == count for count, answer in answers):
        return ROWS
    if all(answer == first for _, answer in answers):
        return Constant(first)
    if isinstance(first, dict) and all(
        isinstance(answer, dict) and list(answer) == list(first) for _, answer in answers
    ):
        return {
            key: _learn_form([(count, answer[key]) for count, answer in answers], f"{place}.{key}") for key in first
        }
    what = "the answer" if place == "$" else f"{place} of the answer"
    raise UnsafeError(f"{what} neither has an entry for each instance nor stays the same")


def _has_rows(form: Any) -> bool:
    return form is ROWS or (isinstance(form, dict) and any(map(_has_rows, form.values())))


def _is_same_form(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_is_same_form(one[key], other[key]) for key in one)
    if isinstance(one, Constant) and isinstance(other, Constant):
        return bool(one.value == other.value)
    return one is other


def _check_form(form: Any, answer: Any, count: int, place: str = "$") -> None:
    if isinstance(form, dict):
        if not isinstance(answer, dict) or list(answer) != list(form):
            raise MismatchError(f"{place} has other keys")
        for key, inner in form.items():
            _check_form(inner, answer[key], count, f"{place}.{key}")
    elif isinstance(form, Constant):
        if answer != form.value:
            raise MismatchError(f"{place}, which stayed the same, has changed")
    elif not isinstance(answer, list) or len(answer) != count:
        raise MismatchError(f"{place} has no entry for each instance")


def _cut(form: Any, answer: Any, start: int, end: int) -> Any:
    if isinstance(form, dict):
        return {key: _cut(inner, answer[key], start, end) for key, inner in form.items()}
    return form.value if isinstance(form, Constant) else answer[start:end]
