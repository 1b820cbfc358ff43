"""A workspace of small models, and its generated tree, from a few files."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import GeneratedTree
from modelyard.requirements.resolve import Resolve
from modelyard.workspace import Workspace

GenerateFrom = Callable[..., GeneratedTree]
FOREST = {
    "projects/income/forest/.s2i/environment": "ROUTES=forest:income.predict:predict_forest",
    "projects/income/forest/predict.py": "def predict_forest(msg):\n    return 'forest'\n",
}
BOOST = {
    "projects/income/boost/.s2i/environment": "ROUTES=boost:income.predict:predict_boost",
    "projects/income/boost/predict.py": "def predict_boost(msg):\n    return 'boost'\n",
}


@pytest.fixture
def two_models(make_workspace) -> Callable[..., Workspace]:
    """Make a workspace of income/forest and income/boost, with `files` in place of theirs."""
    return lambda files={}: make_workspace({**FOREST, **BOOST, **files})


@pytest.fixture
def generate_from(two_models) -> GenerateFrom:
    """Generate income/all of the two models, with `files` in place of theirs."""

    def generate_all(files: Mapping[str, str] = {}, resolve: Resolve | None = None) -> GeneratedTree:
        workspace = two_models(files)
        return generate(workspace, workspace.combined_directory(workspace.projects_root / "income"), resolve=resolve)

    return generate_all


@pytest.fixture
def read() -> Callable[[GeneratedTree, str], str]:
    """The text of one generated file."""
    return lambda tree, name: tree.files[PurePosixPath(name)].text
