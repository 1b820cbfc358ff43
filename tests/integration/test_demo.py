"""`modelyard demo` on a small project: everything in one command, and the second time everything is reused."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.tiny_workspace import Tiny, free_port, tiny_workspace

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """One project with two models, and nothing made yet."""
    with tiny_workspace(tmp_path_factory.mktemp("demo")) as tiny:
        for name in ("gb", "rf"):
            tiny.add_model("income", name)
        yield tiny


def demo(tiny: Tiny, *words: str) -> tuple[str, str]:
    """Run the demo at a free port; return what it printed and what it said."""
    done = tiny.run("modelyard", "demo", "income", "--port", str(free_port()), *words)
    assert done.returncode == 0, done.stderr
    assert tiny.running() == []
    return done.stdout, done.stderr


def test_it_does_everything_and_the_second_time_reuses_it(tiny):
    table, said = demo(tiny)
    rows = [line.split() for line in table.splitlines() if line.startswith("income/")]
    assert [row[:3] for row in rows] == [["income/gb", "0.7500", "/income-gb"], ["income/rf", "0.7500", "/income-rf"]]
    assert '"predictions": [0.0, 2.0]' in table
    for step in ("the data of income are in", "trained income/gb", "trained income/rf", "income/all: wrote"):
        assert step in said
    assert "2 routes answered" in said
    assert "the daemon has stopped, exit code 0" in said

    table, said = demo(tiny, "--json")
    assert [(row["route"], row["status"], row["accuracy"], row["synthetic"]) for row in json.loads(table)] == [
        ("income-gb", 200, 0.75, False),
        ("income-rf", 200, 0.75, False),
    ]
    for model in ("gb", "rf"):
        assert f"income/{model}: source and data are unchanged, the trained model is reused" in said
        assert f"income-{model}-train is unchanged" in said
    assert "income/all is up to date" in said
    assert "income-all-predict is unchanged" in said
    assert "trained income" not in said and "installed" not in said.lower()


def test_a_model_that_answers_wrongly_is_no_success_and_the_daemon_is_stopped(tiny):
    predict = tiny.workspace.projects_root / "income" / "rf" / "predict.py"
    before = predict.read_text()
    predict.write_text(before + "\n\ndef predict(msg):\n    raise ValueError('no such instance')\n")
    try:
        said = tiny.fail("modelyard", "demo", "income", "--port", str(free_port()), code=8)
    finally:
        predict.write_text(before)
    assert "income/rf: POST /income-rf answered 422: no such instance" in said
    assert tiny.running() == []


def test_an_unknown_project_is_named_with_those_there_are(tiny):
    assert "no such project (projects here: income)" in tiny.fail("modelyard", "demo", "other", code=3)
