"""Workspaces, projects and model directories, on real files."""

from pathlib import Path

import pytest

from modelyard.errors import InputError, WorkspaceError
from modelyard.workspace import ModelDirectory, Workspace, as_container_name, find_workspace, read_makefile_variables


def make_model(root: Path, name: str, environment: str, makefile: str = "") -> ModelDirectory:
    folder = root / "projects" / name
    (folder / ".s2i").mkdir(parents=True)
    (folder / ".s2i" / "environment").write_text(environment)
    if makefile:
        (folder / "Makefile").write_text(makefile)
    return ModelDirectory(folder)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "builders").mkdir()
    make_model(tmp_path, "income/rf", "ROUTES=rf:income.predict:run\nTRAIN_MODULE=income.train\n")
    make_model(tmp_path, "income/lr", "ROUTES=lr:income.predict:go")
    make_model(tmp_path, "tumor/svm", "ROUTES=svm:tumor.svm.predict:run")
    return Workspace(tmp_path)


def test_a_workspace_is_found_from_any_folder_of_it(workspace):
    assert find_workspace(workspace.root / "projects" / "income" / "rf") == workspace


def test_no_workspace_says_how_to_make_one(tmp_path):
    with pytest.raises(WorkspaceError, match="no workspace here or above") as caught:
        find_workspace(tmp_path)
    assert "modelyard init" in caught.value.hint


def test_projects_and_models_are_sorted(workspace):
    assert workspace.projects() == ("income", "tumor")
    assert [model.full_name for model in workspace.all_model_directories()] == ["income/lr", "income/rf", "tumor/svm"]


def test_an_unknown_model_directory_lists_the_known_ones(workspace):
    with pytest.raises(WorkspaceError, match="income/lr, income/rf, tumor/svm"):
        workspace.model_directory(workspace.root / "projects" / "income" / "typo")
    with pytest.raises(WorkspaceError, match="not below"):
        workspace.model_directory(Path("/"))


@pytest.mark.parametrize(
    ("module", "package"), [("predict", ""), ("income.predict", "income"), ("income.rf.predict", "income.rf")]
)
def test_the_package_is_the_parent_of_the_named_modules(tmp_path, module, package):
    assert make_model(tmp_path, "income/x", f"ROUTES=x:{module}:run").package == package


def test_modules_of_different_packages_are_refused_with_both_lines(tmp_path):
    model = make_model(tmp_path, "income/x", "ROUTES=x:income.predict:run\nTRAIN_MODULE=income.x.train\n")
    with pytest.raises(InputError, match=r"environment:2: TRAIN_MODULE .*'income.x.train'.* ROUTES \(line 1\)"):
        _ = model.package


def test_predict_module_alone_stands_for_the_route_predict(tmp_path):
    model = make_model(tmp_path, "income/x", "PREDICT_MODULE=income.predict\nPREDICT_FUNCTION=run\n")
    assert [str(route) for route in model.served_routes] == ["predict:income.predict:run"]


def test_names_come_from_the_makefile(tmp_path):
    model = make_model(
        tmp_path, "income/x", "ROUTES=x:predict:run", "MODEL_NAME := adult_rf\nCONTAINER_NAME = my-rf # note\n"
    )
    assert (model.model_name, model.container_name) == ("adult_rf", "my-rf")


def test_names_have_defaults(tmp_path):
    model = make_model(tmp_path, "income/randomForest", "ROUTES=x:predict:run")
    assert (model.model_name, model.container_name) == ("income_randomForest", "income-randomforest")


def test_makefile_variables_join_lines_and_pass_over_what_needs_make(tmp_path):
    path = tmp_path / "Makefile"
    path.write_text("MODEL_DIRS = a \\\n  b\nX = $(shell date)\nY ?= 2\ntarget:\n\tZ = 3\n")
    variables = read_makefile_variables(path)
    assert variables == {"MODEL_DIRS": "a b", "Y": "2"}
    assert variables.where("Y") == f"{path}:4"


def test_a_makefile_need_not_be_utf_8(tmp_path):
    path = tmp_path / "Makefile"
    path.write_bytes(b"# mod\xe8le\nMODEL_NAME = rf\n")
    assert read_makefile_variables(path) == {"MODEL_NAME": "rf"}


def test_all_combines_every_model_of_its_project_or_those_of_model_dirs(workspace):
    folder = workspace.projects_root / "income" / "all"
    assert [model.name for model in workspace.combined_directory(folder).models] == ["lr", "rf"]
    folder.mkdir()
    (folder / "Makefile").write_text("MODEL_DIRS = rf\n")
    assert [model.name for model in workspace.combined_directory(folder).models] == ["rf"]


def test_all_of_the_workspace_combines_every_project(workspace):
    combined = workspace.combined_directory(workspace.projects_root)
    assert combined.path == workspace.projects_root / "all"
    assert combined.full_name == "all"
    assert [model.full_name for model in combined.models] == ["income/lr", "income/rf", "tumor/svm"]


def test_model_dirs_that_names_no_model_directory_is_refused(workspace):
    folder = workspace.projects_root / "income" / "all"
    folder.mkdir()
    (folder / "Makefile").write_text("# mine\nMODEL_DIRS = rf typo\n")
    with pytest.raises(WorkspaceError, match="Makefile:2: MODEL_DIRS names 'typo'"):
        workspace.combined_directory(folder)
    with pytest.raises(WorkspaceError, match="Makefile:2: MODEL_DIRS names 'typo'"):
        workspace.combined_directory(folder, names=["rf", "typo"])
    with pytest.raises(WorkspaceError, match=r"option --models \(make: MODEL_DIRS\) names 'other'"):
        workspace.combined_directory(folder, names=["other"])


def test_container_names_hold_what_references_allow():
    assert as_container_name("finance_income/randomForest") == "finance-income-randomforest"
