"""A run of a function in a train image."""

import json

import pytest

from modelyard.commands.function_run import FunctionRun, run_function
from modelyard.engines.protocols import Mount
from modelyard.errors import RunError


@pytest.fixture
def run(model, tmp_path):
    """A step of a flow: a function of its own, with what it reads and where it writes."""
    (tmp_path / "out").mkdir()
    return FunctionRun(
        subject=model,
        image="sha",
        entry=("income.rf.steps", "clean"),
        payload={"rows": 3},
        inputs=[Mount(source=tmp_path, target="data", read_only=True)],
        output=Mount(source=tmp_path / "out", target="artifacts"),
        environment={"SEED": "1"},
        activity="the step clean of",
    )


def test_a_run_has_entry_payload_mounts_and_environment_of_its_own(run, engine):
    lines = []

    def clean(folder, environment, on_output):
        on_output("cleaned")
        assert environment["MODELYARD_RESULT"].startswith("artifacts/")
        (run.output.source / environment["MODELYARD_RESULT"].removeprefix("artifacts/")).write_text('{"kept": 2}')
        return 0

    engine.train = clean
    outcome = run_function(run, engine, lines.append)
    assert (outcome.result, outcome.code, outcome.lines, lines) == ({"kept": 2}, 0, ("cleaned",), ["cleaned"])
    environment = engine.spec.environment
    assert (environment["TRAIN_MODULE"], environment["TRAIN_FUNCTION"]) == ("income.rf.steps", "clean")
    assert (json.loads(environment["PAYLOAD"]), environment["SEED"]) == ({"rows": 3}, "1")
    assert list(engine.spec.mounts) == [*run.inputs, run.output]
    assert list(run.output.source.iterdir()) == []


def test_a_run_that_fails_is_an_outcome_whose_result_says_what_failed(run, engine):
    def fail(folder, environment, on_output):
        on_output("ValueError: no rows")
        return 1

    engine.train = fail
    outcome = run_function(run, engine, lambda _: None)
    assert (outcome.code, outcome.lines) == (1, ("ValueError: no rows",))
    with pytest.raises(RunError, match=r"the step clean of income/rf exited with 1:\n  ValueError: no rows"):
        outcome.result  # noqa: B018
