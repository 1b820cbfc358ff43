"""Flows on the embedded engine: what runs, what is reused, what is published, and what is left when things fail."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flow_project import FLOW, PREP, TRAIN, FlowProject
from tests.integration.tiny_workspace import Tiny, tiny_workspace

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Iterator[Tiny]:
    with tiny_workspace(tmp_path_factory.mktemp("flows")) as made:
        yield made


@pytest.fixture
def project(tiny) -> FlowProject:
    return FlowProject.make(tiny)


@pytest.fixture(scope="module")
def kept(tiny, tmp_path_factory) -> Path:
    """A copy of a project whose flow has run."""
    project = FlowProject.make(tiny)
    project.run()
    copy = tmp_path_factory.mktemp("kept") / "project"
    shutil.copytree(project.path, copy, symlinks=True)
    return copy


@pytest.fixture
def ran(tiny, kept) -> FlowProject:
    """A project whose flow has run."""
    project = FlowProject(tiny, tiny.workspace.projects_root / "pictures")
    project.restore(kept)
    return project


class TestRunning:
    def test_a_flow_runs_and_its_best_trial_is_published(self, project):
        run = project.run()
        assert {name: step["state"] for name, step in run["steps"].items()} == dict.fromkeys(
            ("prep", "train", "count"), "succeeded"
        )
        trials = project.trials(run)
        assert [trial["state"] for trial in trials] == ["succeeded"] * 3
        assert [trial["best"] for trial in trials] == [False, True, False]
        assert trials[0]["curves"] == {"val_accuracy": [0.45, 0.9]}
        assert run["steps"]["train"]["metrics"] == {"val_accuracy": 1.0, "rows": 2.0}
        assert (project.path / "models/net.bin").read_text() == "0.2"
        assert json.loads((project.path / "models/net.json").read_text()) == {"file": "net.bin"}
        assert (project.path / "runs" / run["id"] / "prep/index.csv").read_text() == "A\nB\n"
        assert "2" in (project.path / "runs" / run["id"] / "count/log").read_text()

    def test_what_has_not_changed_is_reused(self, ran):
        first = ran.last_run()
        second = ran.run()
        assert {step["state"] for step in second["steps"].values()} == {"reused"}
        assert second["steps"]["train"]["made_by"] == first["id"]
        assert [trial["state"] for trial in ran.trials(second)] == ["reused"] * 3

    def test_a_parameter_that_changes_runs_the_steps_that_read_it(self, ran):
        assert ran.plan("--set", "train.epochs=1") == {
            "prep": ("reuse", []),
            "train": ("run", ["train.epochs was 2, and is 1"]),
            "count": ("reuse", []),
        }
        assert ran.states("--set", "train.epochs=1") == {"prep": "reused", "train": "succeeded", "count": "reused"}

    def test_more_values_of_a_search_run_only_the_new_trials(self, ran):
        trials = ran.trials(ran.run("--set", "train.lr=[0.1, 0.2, 0.25, 0.3]"))
        assert [trial["state"] for trial in trials] == ["reused", "reused", "succeeded", "reused"]

    def test_a_line_of_source_that_changes_is_named(self, ran):
        ran.write(**{"net/prep.py": PREP.replace("table.upper()", "table.lower()")})
        plan = ran.plan()
        assert plan["prep"] == ("run", ["pictures/net/prep.py:8 has changed"])
        assert plan["count"] == ("depends", ["where prep makes something else"])

    def test_a_step_that_makes_the_same_as_before_leaves_those_behind_it_alone(self, ran):
        ran.write(**{"data/table.csv": "A\nB\n"})
        assert ran.plan()["prep"] == ("run", ["its input table has changed"])
        assert ran.states() == {"prep": "succeeded", "train": "reused", "count": "reused"}

    def test_force_runs_a_step_all_the_same(self, ran):
        assert ran.plan("--force", "count")["count"] == ("run", ["it is forced"])
        assert ran.states("--force", "count") == {"prep": "reused", "train": "reused", "count": "succeeded"}

    def test_what_was_made_and_is_gone_is_made_again(self, ran):
        digest = ran.last_run()["steps"]["prep"]["outputs"]["index"]["digest"]
        (ran.path / "runs/artifacts" / digest).unlink()
        assert ran.plan()["prep"] == ("run", ["what it made is gone"])
        assert ran.states() == {"prep": "succeeded", "train": "reused", "count": "reused"}

    def test_a_published_file_that_is_gone_is_put_back(self, ran):
        (ran.path / "models/net.bin").unlink()
        ran.run()
        assert (ran.path / "models/net.bin").read_text() == "0.2"


class TestSearching:
    def test_a_trial_that_fails_stops_no_other_and_nan_never_wins(self, ran):
        run = ran.run("--set", "train.fail=[0.1]", "--set", "train.nan=[0.2]")
        trials = ran.trials(run)
        assert [trial["state"] for trial in trials] == ["failed", "succeeded", "succeeded"]
        assert "0.1 diverges" in trials[0]["error"]
        assert trials[1]["metric"] is None
        assert [trial["best"] for trial in trials] == [False, False, True]

    def test_a_search_of_which_all_fail_is_a_step_that_fails(self, ran):
        said = ran.fail("flow", "run", "--set", "train.lr=[0.5]", "--set", "train.fail=[0.5]", code=6)
        assert "none of 1 trials has a val_accuracy" in said
        assert "0.5 diverges" in said


class TestFailing:
    def test_the_steps_behind_one_that_fails_are_skipped_and_the_others_run(self, project):
        flow = FLOW.replace("run: train:fit", "run: train:fits")
        project.write(flow_yaml=flow, **{"net/train.py": TRAIN + "\n\ndef fits(msg):\n    raise ValueError('no')\n"})
        project.write(
            flow_yaml=flow.split("    search")[0] + "  last:\n    command: cat {inputs.model}\n"
            "    inputs: {model: train.model}\n" + flow[flow.index("  count:") :]
        )
        said = project.fail("flow", "run", code=6)
        assert "train failed; not run: last" in said
        assert "ValueError: no" in said
        run = json.loads(project.tiny.succeed("modelyard", "flow", "status", "--json", cwd=project.path))
        states = {step["step"]: step["state"] for step in run}
        assert states == {"prep": "succeeded", "train": "failed", "last": "never", "count": "succeeded"}

    def test_a_step_that_makes_not_what_it_says(self, project):
        project.write(flow_yaml="steps:\n  prep:\n    run: prep:nothing\n    outputs: {index: index.csv}\n")
        said = project.fail("flow", "run", code=6)
        assert "step prep did not make its output index (index.csv): it made nothing" in said

    def test_a_step_that_takes_too_long_is_stopped(self, project):
        flow = FLOW.replace("    params: [data]\n", "    params: [data]\n    timeout: 0.5\n")
        project.write(flow_yaml=flow)
        said = project.fail("flow", "run", "--set", "data.sleep=60.0", code=6)
        assert "took longer than 0.5 s (timeout)" in said
        assert project.tiny.running() == []

    def test_a_command_that_takes_too_long_is_stopped(self, project):
        project.write(flow_yaml="steps:\n  a:\n    command: sleep 61\n    timeout: 0.3\n    retries: 1\n")
        assert "step a took longer than 0.3 s" in project.fail("flow", "run", code=6)

    def test_a_step_is_tried_again(self, project):
        script = "import pathlib, sys\np = pathlib.Path('once')\nif not p.exists():\n    p.touch(); sys.exit(3)\n"
        flow = "steps:\n  a:\n    command: python3 flaky.py\n    retries: 1\n"
        project.write(flow_yaml=flow, **{"flaky.py": script})
        assert project.run()["steps"]["a"]["attempts"] == 2

    @pytest.mark.parametrize(
        ("flow", "said"),
        [
            ("run: trian:fit", "has no module trian; did you mean train?"),
            ("run: train:fitt", "has no function fitt; did you mean fit?"),
            ("run: train:fit\n    model: nett", "there is no model directory 'nett'; did you mean net?"),
        ],
    )
    def test_a_function_that_is_not_there_is_an_error_before_anything_runs(self, project, flow, said):
        project.write(flow_yaml=f"steps:\n  a:\n    {flow}\n")
        assert said in project.fail("flow", "run", code=3)
        assert not (project.path / "runs").exists()
