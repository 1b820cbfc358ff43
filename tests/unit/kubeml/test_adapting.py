"""How many workers the next epoch gets."""

from hypothesis import given
from hypothesis import strategies as st

from kubeml.adapting import Pace, next_parallelism


def paces(*pairs: tuple[int, float]) -> list[Pace]:
    return [Pace(parallelism=workers, seconds=seconds, samples=100) for workers, seconds in pairs]


def test_one_more_after_the_first_epoch_and_while_it_pays():
    assert next_parallelism(paces((1, 10)), limit=8) == 2
    assert next_parallelism(paces((1, 10), (2, 9.5)), limit=8) == 3
    assert next_parallelism(paces((1, 10), (2, 9.6)), limit=8) == 2


def test_one_fewer_where_it_costs_and_never_back():
    assert next_parallelism(paces((1, 10), (2, 12)), limit=8) == 1
    assert next_parallelism(paces((1, 10), (2, 12), (1, 10)), limit=8) == 1
    assert next_parallelism(paces((1, 10), (2, 8), (3, 10), (2, 7)), limit=8) == 2


def test_never_below_one_nor_above_the_limit():
    assert next_parallelism(paces((4, 10)), limit=4) == 4
    assert next_parallelism(paces((1, 10), (1, 20)), limit=4) == 1


def test_an_epoch_in_which_a_worker_was_killed_says_nothing():
    killed = Pace(parallelism=2, seconds=90, samples=100, undisturbed=False)
    assert next_parallelism([*paces((1, 10)), killed], limit=4) == 2


def test_time_counts_by_sample():
    less = Pace(parallelism=2, seconds=9.4, samples=94)
    assert next_parallelism([*paces((1, 10)), less], limit=4) == 2


@given(
    times=st.lists(st.floats(0.1, 100), min_size=1, max_size=30),
    start=st.integers(1, 6),
    limit=st.integers(1, 6),
)
def test_a_refused_number_never_comes_again(times, start, limit):
    history, workers, refused = [], min(start, limit), set()
    for seconds in times:
        assert 1 <= workers <= limit and workers not in refused
        history.append(Pace(parallelism=workers, seconds=seconds, samples=10))
        following = next_parallelism(history, limit=limit)
        if following < workers:
            refused.add(workers)
        workers = following
