"""A project with one model, and the fakes to run it with."""

import pytest

from modelyard.workspace import ModelDirectory, Workspace
from tests.unit.commands.fakes import FakeEngine, RecordingReporter

MODEL = "projects/income/rf"
FILES = {
    f"{MODEL}/train.py": "def train(msg):\n    return {}\n",
    f"{MODEL}/predict.py": "def predict(msg):\n    return {}\n",
    f"{MODEL}/.s2i/environment": "ROUTES=income-rf:income.rf.predict:predict\nTRAIN_MODULE=income.rf.train\n",
    f"{MODEL}/test/test_instances.json": '{"instances": [[1, 2]]}\n',
    f"{MODEL}/Makefile": "MODEL_NAME = income_rf\nDATASET_NAME = adult.csv\nCONTAINER_NAME = income-rf\n",
    "projects/income/data/adult.csv": "1,2\n",
}


@pytest.fixture
def workspace(make_workspace) -> Workspace:
    """The workspace of the one model."""
    return make_workspace(FILES)


@pytest.fixture
def model(workspace: Workspace) -> ModelDirectory:
    """The model directory."""
    return workspace.model_directory(workspace.root / MODEL)


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that starts nothing."""
    return FakeEngine()


@pytest.fixture
def reporter() -> RecordingReporter:
    """A reporter that remembers."""
    return RecordingReporter()
