"""Who trains which rows when."""

from hypothesis import given
from hypothesis import strategies as st

from kubeml.shards import Shards, order_rows, seed_of, take

SHARDS = st.builds(Shards, rows=st.integers(1, 300), batch=st.integers(1, 40), workers=st.integers(1, 9))
K = st.sampled_from([-1, 1, 2, 3, 16])


@given(shards=SHARDS, k=K, seed=st.integers(0, 5), shuffle=st.booleans())
def test_every_row_of_an_epoch_is_trained_once(shards, k, seed, shuffle):
    order = order_rows(shards.rows, seed=seed, epoch=2, shuffle=shuffle)
    trained = [
        row
        for number in range(shards.count_rounds(k))
        for rank in range(shards.workers)
        for rows in take(order, shards, shards.in_round(rank, number, k))
        for row in rows
    ]
    assert sorted(trained) == list(range(shards.rows))


@given(shards=SHARDS, k=K)
def test_shards_differ_by_at_most_one_batch_and_rounds_have_k_steps(shards, k):
    counts = [len(shards.batches(rank)) for rank in range(shards.workers)]
    assert max(counts) - min(counts) <= 1 and sum(counts) == shards.count
    steps = [
        max(len(shards.in_round(rank, number, k)) for rank in range(shards.workers))
        for number in range(shards.count_rounds(k))
    ]
    assert sum(steps) == shards.steps()
    assert k == -1 or all(count == k for count in steps[:-1])


@given(shards=SHARDS, k=K)
def test_rows_of_a_round_are_known_to_everybody(shards, k):
    known = sum(
        shards.rows_in_round(rank, number, k)
        for number in range(shards.count_rounds(k))
        for rank in range(shards.workers)
    )
    assert known == shards.rows


def test_an_order_is_the_same_for_the_same_seed_and_epoch_only():
    first, again = (order_rows(50, seed=1, epoch=0, shuffle=True).tolist() for _ in range(2))
    assert first == again
    assert first != order_rows(50, seed=1, epoch=1, shuffle=True).tolist()
    assert first != order_rows(50, seed=2, epoch=0, shuffle=True).tolist()
    assert order_rows(5, seed=1, epoch=0, shuffle=False).tolist() == [0, 1, 2, 3, 4]
    assert seed_of(0, 1) != seed_of(1, 0) and 0 <= seed_of(7, 8, 9) < 2**63
