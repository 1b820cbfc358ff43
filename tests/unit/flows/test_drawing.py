import pytest

from modelyard.commands.flow_export import export_cron, export_github
from modelyard.commands.flow_tuning import parse_over, plan_search
from modelyard.errors import InputError
from modelyard.flows.comparing import compare_runs
from modelyard.flows.drawing import FORMS
from modelyard.flows.run_lock import BusyError, hold_lock, is_locked
from tests.unit.flows.conftest import FLOW


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("text", "train  <- prep (index)  [to run]"),
        ("mermaid", "  step_prep -->|index| step_train"),
        ("dot", '  "prep" -> "train" [label="index"];'),
    ],
)
def test_the_graph_says_what_is_taken_from_which(make_flow, form, line):
    assert line in FORMS[form](make_flow(), {"train": "to run"}).splitlines()


class TestExport:
    def test_cron(self, make_flow, tmp_path):
        flow = make_flow(FLOW + "schedule: 0 3 * * 1-5\n")
        line = export_cron(flow, tmp_path, schedule=None)
        assert line.startswith(f"0 3 * * 1-5 cd {tmp_path} && .venv/bin/modelyard flow run pictures >> ")
        assert line.count("\n") == 1

    def test_github_is_yaml_that_runs_the_flow(self, make_flow, tmp_path):
        import yaml

        workflow = yaml.safe_load(export_github(make_flow(), tmp_path, schedule="0 3 * * *"))
        assert workflow[True]["schedule"] == [{"cron": "0 3 * * *"}]  # `on` is true in YAML 1.1
        commands = [step.get("run", "") for step in workflow["jobs"]["run"]["steps"]]
        assert ".venv/bin/modelyard flow run pictures --engine local" in commands

    @pytest.mark.parametrize("schedule", [None, "daily", "* * *"])
    def test_no_schedule_is_an_error(self, make_flow, tmp_path, schedule):
        with pytest.raises(InputError):
            export_cron(make_flow(), tmp_path, schedule=schedule)


class TestTuning:
    def test_what_is_typed_stands_over_the_flow(self, make_flow):
        flow = make_flow(FLOW.replace("    publish:", "    search: {over: [train.lr], metric: acc}\n    publish:"))
        name, search = plan_search(flow, None, ["train.epochs=whole:1..9"], {"trials": 3, "metric": None})
        assert (name, search.metric, search.method, search.trials) == ("train", "acc", "random", 3)
        assert search.over == {"train.epochs": {"min": 1, "max": 9, "whole": True}}

    def test_a_step_without_a_search_needs_to_be_told(self, make_flow):
        with pytest.raises(InputError, match="no step searches"):
            plan_search(make_flow(), None, [], {})
        with pytest.raises(InputError, match="train has no search"):
            plan_search(make_flow(), "train", [], {})
        assert plan_search(make_flow(), "train", ["train.lr=0.1"], {"metric": "m"})[1].over == {"train.lr": [0.1]}

    @pytest.mark.parametrize("text", ["lr=1", "train.lr", "train.lr=", "train.lr=a..b", "train.lr=lin:1..2"])
    def test_what_is_no_space_is_an_error(self, text):
        with pytest.raises(InputError, match="--over"):
            parse_over(text)


def test_two_runs_are_compared():
    step = {"state": "succeeded", "metrics": {"acc": 0.9}, "outputs": {"m": {"digest": "a" * 64}}}
    one = {"config": {"t": {"lr": 1}}, "git": None, "steps": {"train": step}}
    other = {
        "config": {"t": {"lr": 2}},
        "git": {"commit": "c"},
        "steps": {"train": {**step, "state": "reused", "metrics": {"acc": 0.8}}},
    }
    assert compare_runs(one, other) == [
        ("parameter", "t.lr", 1, 2),
        ("commit", "", None, "c"),
        ("train", "acc", 0.9, 0.8),
    ]
    assert compare_runs(one, one) == []


def test_a_lock_is_held_once_and_says_by_whom(tmp_path):
    with hold_lock(tmp_path / "runs", what="a test"):
        assert is_locked(tmp_path / "runs")
        with pytest.raises(BusyError, match=r"a test \(process \d+\) goes on"), hold_lock(tmp_path / "runs", what="b"):
            pass
    assert not is_locked(tmp_path / "runs")
