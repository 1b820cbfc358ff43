"""What `modelyard init` and `new` write: complete, checked, in good style, and never over something that is there."""

import tomllib
from pathlib import Path

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.scaffold import init_workspace, new_model, new_project
from modelyard.errors import InputError, WorkspaceError
from modelyard.probe.instances import read_instances
from modelyard.probe.model import check_model
from modelyard.workspace import find_workspace

REPOSITORY = Path(__file__).parents[3]


FRAMEWORKS = ["sklearn", "xgboost", "catboost", "torch"]


MODEL_FILES = """
    .s2i/environment Makefile README.md features.py predict.py requirements_predict.txt requirements_train.txt
    test/test_instances.json train.py
"""


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def workspace(tmp_path):
    return init_workspace(tmp_path / "new")


def test_a_new_workspace_is_found_and_holds_the_house(workspace):
    assert find_workspace(workspace.root / "projects") == workspace
    there = files_below(workspace.root)
    assert {"Makefile", "README.md", ".gitignore", "build.sh", "projects/recipes.mk", "utils/model_binary.py"} <= there
    assert {"common_utils/split.py", "builders/train/s2i/bin/assemble", "builders/cpu.args"} <= there
    assert not any("__pycache__" in name for name in there)
    assert (workspace.root / "build.sh").stat().st_mode & 0o100
    assert workspace.projects() == ()


def test_everything_that_init_copies_is_in_the_wheel():
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        included = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    from modelyard.codegen.scaffold import HOUSE

    assert included == {name: f"modelyard/house/{name}" for name in HOUSE}


@pytest.mark.parametrize("name", ["Makefile", "utils/mine.py", "projects/recipes.mk"])
def test_init_writes_over_nothing(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(WorkspaceError, match="already there"):
        init_workspace(tmp_path)
    assert files_below(tmp_path) == {name} and path.read_text() == "mine"


@pytest.mark.parametrize(("folder", "said"), [("", "this is a workspace already"), ("projects/mine", "already in")])
def test_init_in_a_workspace_names_it_and_what_to_do_instead(workspace, folder, said):
    before = files_below(workspace.root)
    with pytest.raises(WorkspaceError, match=said) as raised:
        init_workspace(workspace.root / folder)
    assert str(workspace.root) in raised.value.message and "modelyard new project" in (raised.value.hint or "")
    assert files_below(workspace.root) == before


def test_init_takes_a_folder_that_has_other_things_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert init_workspace(tmp_path).projects() == ()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_new_model_is_complete_and_nothing_is_wrong_with_it(workspace, framework):
    model = new_model(workspace, "tumors", "firstTry", framework)
    assert workspace.model_directories("tumors") == (model,)
    assert set(MODEL_FILES.split()) <= files_below(model.path)
    check_model(workspace, model)
    assert read_instances(model)["instances"]
    assert (model.model_name, model.container_name) == ("tumors_firstTry", "tumors-firsttry")
    assert model.makefile_variables["DATASET_NAME"] == ""
    assert files_below(model.path.parent) >= {"Makefile", "README.md"}


def test_a_new_kubeml_model_is_complete_and_nothing_is_wrong_with_it(workspace):
    model = new_model(workspace, "tumors", "firstTry", "kubeml")
    assert model.train_entry == ("tumors.firstTry.function", "main")
    assert {"function.py", "predict.py", "Makefile", "test/test_instances.json"} <= files_below(model.path)
    assert "features.py" not in files_below(model.path)
    check_model(workspace, model)
    assert read_instances(model)["instances"]
    generate(workspace, workspace.combined_directory(model.path.parent))


def test_new_models_can_be_combined_in_one_project_and_over_all(workspace):
    for number, framework in enumerate(FRAMEWORKS):
        new_model(workspace, f"project{number % 2}", f"model{number}", framework)
    for folder in (workspace.projects_root / "project0", workspace.projects_root):
        generate(workspace, workspace.combined_directory(folder))


def test_a_new_model_does_not_import_the_tool(workspace):
    for framework in FRAMEWORKS:
        model = new_model(workspace, "tumors", framework, framework)
        assert not any("modelyard" in path.read_text() for path in model.path.rglob("*.py"))


@pytest.mark.parametrize(
    "name", ["random-forest", "2nd", "class", "a/b", "../x", "all", "data", "models", "runs", "common_utils"]
)
def test_names_that_cannot_be_a_package_are_refused(workspace, name):
    with pytest.raises(InputError, match="name") as caught:
        new_model(workspace, "tumors", name, "sklearn")
    assert caught.value.hint
    assert list(workspace.projects_root.iterdir()) == [workspace.projects_root / "recipes.mk"]


@pytest.mark.parametrize("name", ["json", "utils", "modelyard", "all", "my-project"])
def test_projects_that_would_hide_a_module_are_refused(workspace, name):
    with pytest.raises(InputError, match="name"):
        new_project(workspace, name)


def test_what_is_there_is_not_written_over(workspace):
    model = new_model(workspace, "tumors", "svm", "sklearn")
    (model.path / "train.py").write_text("mine")
    with pytest.raises(WorkspaceError, match="already there"):
        new_model(workspace, "tumors", "svm", "torch")
    with pytest.raises(WorkspaceError, match="already there"):
        new_project(workspace, "tumors")
    assert (model.path / "train.py").read_text() == "mine"
