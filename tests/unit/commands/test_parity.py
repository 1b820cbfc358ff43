import pytest

from modelyard.commands.parity import SINGLE, Difference, Parity, find_difference
from modelyard.errors import EndpointError


@pytest.mark.parametrize(
    ("expected", "actual", "path"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "$.a[1].b"),
        ([1, 2, 3], [1, 3, 2], "$[1]"),
        ({"a": [1, 2]}, {"a": [1]}, "$.a"),
        ({"a": 1}, {"b": 1}, "$"),
        ({"a": 1}, [1], "$"),
        ({"a": 1}, {"a": True}, "$.a"),
        ({"a": "1"}, {"a": 1}, "$.a"),
        ({"a": None}, {"a": 0}, "$.a"),
        ({"a": 0.5}, {"a": 0.5001}, "$.a"),
    ],
)
def test_the_first_difference_is_found(expected, actual, path):
    found = find_difference(expected, actual, tolerance=1e-6)
    assert found is not None
    assert found.path == path


@pytest.mark.parametrize(
    ("expected", "actual"), [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ([1], [1.0]), ([0.1 + 0.2], [0.3]), (None, None)]
)
def test_equal_values_do_not_differ(expected, actual):
    assert find_difference(expected, actual, tolerance=1e-6) is None


def test_without_tolerance_the_last_digit_counts():
    assert find_difference(0.1 + 0.2, 0.3) is not None


def test_a_difference_is_an_error_that_shows_both_values():
    difference = Difference(path="$.predictions[0]", expected=1, actual="x" * 1000)
    parity = Parity(model="income/rf", route="rf", way=SINGLE, difference=difference)
    with pytest.raises(EndpointError) as raised:
        parity.raise_for_difference()
    assert "income/rf: /rf: the single-model image differs from the bare function at $.predictions[0]" in str(
        raised.value
    )
    assert "the bare function: 1\n" in raised.value.message
    assert "x" * 300 not in raised.value.message
    Parity(model="income/rf", route="rf", way=SINGLE, difference=None).raise_for_difference()
