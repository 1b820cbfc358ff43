"""A new model directory joins the daemon of all others, unless somebody chose who is in it."""

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.scaffold import init_workspace, new_model
from modelyard.codegen.tree import write_tree
from modelyard.workspace import read_makefile_variables


@pytest.fixture
def workspace(tmp_path):
    workspace = init_workspace(tmp_path / "new")
    new_model(workspace, "shop", "price", "sklearn")
    for folder in ("shop", ""):
        write_tree(generate(workspace, workspace.combined_directory(workspace.projects_root / folder)))
    return workspace


def model_dirs(workspace, folder):
    return read_makefile_variables(workspace.projects_root / folder / "all" / "Makefile")["MODEL_DIRS"]


def test_it_joins_the_all_of_its_project_and_of_the_workspace(workspace):
    new_model(workspace, "shop", "cost", "sklearn")
    assert model_dirs(workspace, "shop") == "cost price"
    assert model_dirs(workspace, "") == "shop/cost shop/price"


def test_an_all_that_leaves_a_model_out_stays_as_it_is(workspace):
    new_model(workspace, "shop", "cost", "sklearn")
    makefile = workspace.projects_root / "shop" / "all" / "Makefile"
    makefile.write_text(makefile.read_text().replace("cost price", "price"))
    new_model(workspace, "shop", "third", "sklearn")
    assert model_dirs(workspace, "shop") == "price"


def test_a_makefile_that_is_not_utf_8_keeps_its_bytes(workspace):
    makefile = workspace.projects_root / "shop" / "all" / "Makefile"
    makefile.write_bytes(b"# mod\xe8les\n" + makefile.read_bytes())
    new_model(workspace, "shop", "cost", "sklearn")
    assert model_dirs(workspace, "shop") == "cost price"
    assert makefile.read_bytes().startswith(b"# mod\xe8les\n")
