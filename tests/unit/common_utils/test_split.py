import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_utils.split import split_stratified


@given(st.lists(st.sampled_from("abc")), st.floats(0.05, 0.95))
def test_every_row_is_in_one_part_and_every_class_in_both(labels, held_out):
    train, test = split_stratified(labels, held_out=held_out)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for name in set(labels):
        members = labels.count(name)
        chosen = sum(labels[index] == name for index in test)
        assert abs(chosen - members * held_out) <= 1
        assert chosen < members
        assert chosen >= (members > 1)


def test_the_seed_decides():
    labels = np.array([0, 1] * 50)
    first = split_stratified(labels, held_out=0.3, seed=1)
    assert all(
        np.array_equal(*pair) for pair in zip(first, split_stratified(labels, held_out=0.3, seed=1), strict=True)
    )
    assert not np.array_equal(first[1], split_stratified(labels, held_out=0.3, seed=2)[1])


@pytest.mark.parametrize("held_out", [0, 1, -0.1, 20])
def test_a_share_that_is_no_fraction_is_refused(held_out):
    with pytest.raises(ValueError, match="expected a fraction"):
        split_stratified([0, 1], held_out=held_out)
