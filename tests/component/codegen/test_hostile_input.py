import subprocess

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import write_tree
from modelyard.errors import ModelyardError

MAKEFILE = "projects/income/all/Makefile"


@pytest.mark.parametrize(
    "name", ["$(shell touch hacked)", "x; touch hacked", "x`touch hacked`", "X", "-x", "a b", "../x", "a/b:c"]
)
def test_a_container_name_is_checked_or_passed_over(two_models, name):
    workspace = two_models(
        {MAKEFILE: f"CONTAINER_NAME = {name}\n", "projects/recipes.mk": "x:\n\t@echo $(CONTAINER_NAME)\n"}
    )
    combined = workspace.combined_directory(workspace.projects_root / "income")
    try:
        write_tree(generate(workspace, combined))
    except ModelyardError as error:
        assert "CONTAINER_NAME" in error.message
    else:  # what needs make to be understood is not read, so the default is written
        done = subprocess.run(["make", "-C", combined.path, "x"], capture_output=True, text=True)
        assert "income-all" in done.stdout
    assert not (combined.path / "hacked").exists()
