import math

import pytest

from modelyard.errors import InputError
from modelyard.flows.config import Config
from modelyard.flows.definition import Search
from modelyard.flows.search import check_search, merge_params, pick_best, plan_trials

CONFIG = Config(values={"train": {"lr": [0.1, 0.2, 0.3], "layers": [1, 2], "runs": 4, "none": []}})


def search(**fields):
    return Search(**{"over": {"train.lr": "train.lr", "train.layers": "train.layers"}, "metric": "m", **fields})


class TestGrid:
    def test_every_combination_in_order(self):
        trials = plan_trials(search(), CONFIG)
        assert len(trials) == 6
        assert trials[:2] == [{"train.lr": 0.1, "train.layers": 1}, {"train.lr": 0.1, "train.layers": 2}]

    def test_the_first_trials_where_a_number_is_given(self):
        assert plan_trials(search(trials=2), CONFIG) == plan_trials(search(), CONFIG)[:2]

    def test_the_number_may_be_a_parameter(self):
        assert len(plan_trials(search(trials="train.runs"), CONFIG)) == 4


class TestRandom:
    def test_it_is_seeded(self):
        one, two = (plan_trials(search(method="random", trials=4, seed=seed), CONFIG) for seed in (1, 2))
        assert one == plan_trials(search(method="random", trials=4, seed=1), CONFIG)
        assert one != two

    @pytest.mark.parametrize("seed", range(20))
    def test_it_draws_without_replacement_and_ends_when_all_are_drawn(self, seed):
        trials = plan_trials(search(method="random", trials=50, seed=seed), CONFIG)
        assert len(trials) == len({repr(trial) for trial in trials}) == 6

    @pytest.mark.parametrize("seed", range(20))
    def test_a_longer_search_begins_with_the_shorter(self, seed):
        short, long = (plan_trials(search(method="random", trials=n, seed=seed), CONFIG) for n in (4, 6))
        assert long[:4] == short

    def test_ranges(self):
        over = {
            "train.lr": {"min": 0.001, "max": 1.0, "log": True},
            "train.layers": {"min": 1, "max": 9, "whole": True},
        }
        trials = plan_trials(search(method="random", over=over, trials=200), CONFIG)
        drawn = [trial["train.lr"] for trial in trials]
        assert all(0.001 <= value <= 1 for value in drawn)
        assert 0.3 < sum(value < math.sqrt(0.001) for value in drawn) / len(drawn) < 0.7
        assert all(isinstance(trial["train.layers"], int) and 1 <= trial["train.layers"] <= 9 for trial in trials)


class TestBest:
    @pytest.mark.parametrize(
        ("metrics", "direction", "best"),
        [
            ([0.5, 0.9, 0.7], "maximum", 1),
            ([0.5, 0.9, 0.7], "minimum", 0),
            ([0.9, 0.9], "maximum", 0),
            ([0.1, 0.1], "minimum", 0),
            ([math.nan, 0.1], "maximum", 1),
            ([math.nan, 0.1], "minimum", 1),
            ([0.1, math.nan, None], "minimum", 0),
            ([None, math.nan], "maximum", None),
            ([-math.inf, -1.0], "minimum", 0),
            ([], "maximum", None),
        ],
    )
    def test_nan_never_wins_and_ties_go_to_the_first(self, metrics, direction, best):
        assert pick_best(metrics, direction=direction) == best


def test_a_trial_has_one_value_of_what_is_searched():
    merged = merge_params({"train": {"lr": [0.1, 0.2], "epochs": 3}}, {"train.lr": 0.2})
    assert merged == {"train": {"lr": 0.2, "epochs": 3}}


STEP = "steps:\n  t: {{run: 'm:f', params: [{params}], search: {{over: {over}, metric: m{more}}}}}\n"


@pytest.mark.parametrize(
    ("params", "over", "more", "said"),
    [
        ("train", "[train.lrr]", "", "did you mean train.lr?"),
        ("train.runs", "[train.lr]", "", "t does not read train.lr"),
        ("train", "[train.none]", "", "config.yaml:5: train.none is an empty list"),
        ("train", "{train.lr: {min: 0, max: 1}}", "", "a grid has no ranges"),
        ("train", "{train.lr: {min: 2, max: 1}}", ", method: random", "is no range"),
        ("train", "{train.lr: {min: 0, max: 1, log: true}}", ", method: random", "above 0"),
        ("train", "[train.lr]", ", trials: train.lr", "no number of trials"),
    ],
)
def test_a_search_that_can_find_nothing_is_an_error(make_flow, params, over, more, said):
    config = "train:\n  lr: [0.1]\n  runs: 1\n  x: 1\n  none: [1]\n"
    flow = make_flow(
        STEP.format(params=params, over=over, more=more),
        config=config,
        files={"config.yaml": "\n\n\ntrain:\n  none: []\n"},
    )
    from modelyard.flows.config import read_config

    with pytest.raises(InputError) as raised:
        check_search(flow.steps["t"], flow, read_config(flow))
    assert said in str(raised.value)
