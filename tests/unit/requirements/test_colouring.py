"""Groups that hold no clash, and few of them."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from modelyard.requirements.colouring import Unit, colour


def make_units(*texts: str) -> list[Unit]:
    return [Unit(names=(name,), lines=(), texts=frozenset(name)) for name in texts]


def names(groups) -> list[set[str]]:
    return [{name for unit in group for name in unit.names} for group in groups]


def clashes_of(*texts: str) -> list[frozenset[str]]:
    return [frozenset(text) for text in texts]


def test_what_does_not_clash_is_one_group():
    assert names(colour(make_units("a", "b", "c"), [])) == [{"a", "b", "c"}]


def test_a_clash_of_three_lines_keeps_only_all_three_apart():
    groups = names(colour(make_units("a", "b", "c"), clashes_of("abc")))
    assert len(groups) == 2 and {"a", "b", "c"} not in groups


def test_an_order_that_plain_first_fit_gets_wrong():
    # a crown: each unit clashes with all of the other side but its partner; first fit would make a group of each pair
    sides = [("abcd"[n], "wxyz"[n]) for n in range(4)]
    clashes = [frozenset((left, right)) for left, _ in sides for _, right in sides if (left, right) not in sides]
    groups = names(colour(make_units(*(name for side in sides for name in side)), clashes))
    assert sorted(map(sorted, groups)) == [list("abcd"), list("wxyz")]


LETTERS = "abcdef"
CLASHES = st.lists(st.sets(st.sampled_from(LETTERS), min_size=2, max_size=3).map(frozenset), max_size=10)


def is_possible(clashes: list[frozenset[str]], count: int) -> bool:
    return any(
        not any(len({homes[LETTERS.index(letter)] for letter in clash}) == 1 for clash in clashes)
        for homes in product(range(count), repeat=len(LETTERS))
    )


@given(CLASHES)
def test_groups_hold_no_clash_and_everybody_once(clashes):
    groups = colour(make_units(*LETTERS), clashes)
    texts = [frozenset().union(*(unit.texts for unit in group)) for group in groups]
    assert not [clash for clash in clashes for text in texts if clash <= text]
    assert sorted(name for group in names(groups) for name in group) == list(LETTERS)
    assert names(groups) == names(colour(make_units(*LETTERS), clashes))


@given(CLASHES)
def test_small_cases_are_at_most_one_group_off(clashes):
    groups = colour(make_units(*LETTERS), clashes)
    best = next(count for count in range(1, len(LETTERS) + 1) if is_possible(clashes, count))
    assert best <= len(groups) <= best + 1
