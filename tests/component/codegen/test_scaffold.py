import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.codegen.scaffold import init_workspace, new_model

REPOSITORY = Path(__file__).parents[3]


FRAMEWORKS = ["sklearn", "xgboost", "catboost", "torch"]


@pytest.fixture
def workspace(tmp_path):
    return init_workspace(tmp_path / "new")


def test_a_workspace_makefile_lists_its_targets(workspace):
    done = subprocess.run(["make", "-C", workspace.root], capture_output=True, text=True)
    assert "predict-all" in done.stdout and "doctor" in done.stdout


def test_new_models_are_in_the_style_of_the_house(workspace):
    for framework in FRAMEWORKS:
        new_model(workspace, "tumors", framework, framework)
    for command in (["check"], ["format", "--check"]):
        options = ["--config", REPOSITORY / "pyproject.toml", "--no-cache"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options, workspace.projects_root], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
