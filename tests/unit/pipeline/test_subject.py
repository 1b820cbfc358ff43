import pytest

from modelyard.errors import InputError, WorkspaceError
from modelyard.pipeline.subject import (
    choose_container_name,
    choose_model_name,
    choose_tag,
    default_tag,
    find_combined,
    find_models,
    find_projects,
    find_subject,
    models_of,
)
from tests.conftest import write_files

ENVIRONMENT = "ROUTES={route}:{project}.{name}.predict:predict\n"
RF, GB, SVM = "income/rf", "income/gb", "tumor/svm"


@pytest.fixture
def root(workspace):
    """Three models in two projects; the first project's all/ combines only one."""
    for model in (GB, SVM):
        project, _, name = model.partition("/")
        text = ENVIRONMENT.format(route=f"{project}-{name}", project=project, name=name)
        write_files(workspace.projects_root, {f"{model}/.s2i/environment": text})
    write_files(workspace.projects_root, {"income/all/Makefile": "MODEL_DIRS = rf\nCONTAINER_NAME = income-some\n"})
    return workspace.root


@pytest.mark.parametrize(
    ("path", "models"),
    [
        (".", [GB, RF, SVM]),
        ("projects", [GB, RF, SVM]),
        ("projects/all", [GB, RF, SVM]),
        ("projects/income", [GB, RF]),
        ("projects/income/all", [RF]),
        ("projects/income/gb", [GB]),
        ("projects/tumor/../income/gb", [GB]),
    ],
)
def test_a_path_stands_for_models(root, workspace, path, models):
    assert [model.full_name for model in find_models(workspace, root / path)] == models


@pytest.mark.parametrize(
    ("path", "name", "models"),
    [
        (".", "all", [GB, RF, SVM]),
        ("projects", "all", [GB, RF, SVM]),
        ("projects/income", "income/all", [RF]),
        ("projects/income/all", "income/all", [RF]),
        ("projects/tumor", "tumor/all", [SVM]),
        ("projects/income/gb", GB, [GB]),
    ],
)
def test_a_path_stands_for_one_thing_to_serve(root, workspace, path, name, models):
    subject = find_subject(workspace, root / path)
    assert subject.full_name == name
    assert [model.full_name for model in models_of(subject)] == models


def test_tags_come_from_container_name_or_the_full_name(root, workspace):
    tags = {
        path: default_tag(find_subject(workspace, root / path), "predict")
        for path in ("projects/income/rf", "projects/income/gb", "projects/income", "projects")
    }
    assert list(tags.values()) == ["income-rf-predict", "income-gb-predict", "income-some-predict", "all-predict"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".", ["income/all", "tumor/all", "all"]),
        ("projects", ["income/all", "tumor/all", "all"]),
        ("projects/income", ["income/all"]),
        ("projects/income/rf", ["income/all"]),
        ("projects/all", ["all"]),
    ],
)
def test_a_path_stands_for_folders_to_generate(root, workspace, path, found):
    assert [one.full_name for one in find_combined(workspace, root / path)] == found


@pytest.mark.parametrize("path", ["projects/income/nothing", "builders", "projects/nothing", "/"])
def test_any_other_path_is_an_error(root, workspace, path):
    for find in (find_models, find_subject):
        with pytest.raises(WorkspaceError):
            find(workspace, root / path)


def test_a_folder_without_a_model_says_how_to_make_one(make_workspace):
    workspace = make_workspace({"projects/empty/README.md": ""})
    for path in ("projects", "projects/empty", "projects/empty/all"):
        with pytest.raises(WorkspaceError, match="no model directory here") as error:
            find_models(workspace, workspace.root / path)
        assert "modelyard new model" in error.value.hint


@pytest.mark.parametrize(
    ("path", "found"), [("projects/new", ("new",)), ("projects/income/rf", ("income",)), (".", ("income", "tumor"))]
)
def test_the_data_of_a_project_need_no_model(root, workspace, path, found):
    write_files(workspace.projects_root, {"new/make_data.py": ""})
    assert find_projects(workspace, root / path) == found
    with pytest.raises(WorkspaceError):
        find_projects(workspace, root / "projects/nothing")


def test_a_name_that_no_engine_takes_is_told_with_what_sets_it(root, workspace):
    makefile = root / "projects/income/rf/Makefile"
    makefile.write_text("MODEL_NAME = rf\n\nCONTAINER_NAME = Our/Rf # ours\n")
    model = workspace.model_directory(root / "projects/income/rf")
    with pytest.raises(InputError, match=rf"^{makefile}:3: CONTAINER_NAME: 'Our/Rf' is no name of a container"):
        choose_container_name(model, None)
    with pytest.raises(InputError, match=rf"^{makefile}:3: CONTAINER_NAME: 'Our/Rf-train' is no image tag"):
        choose_tag(model, "train", "Our/Rf-train")
    assert (choose_container_name(model, "mine"), choose_tag(model, "train", "mine")) == ("mine", "mine")


def test_a_name_that_an_option_gives_is_told_with_the_option(root, workspace):
    model = workspace.model_directory(root / "projects/income/rf")
    with pytest.raises(InputError, match=r"^option --name: 'a b' is no name of a container") as caught:
        choose_container_name(model, "a b")
    assert "letters, digits" in caught.value.hint and "on make's command line" in caught.value.hint
    with pytest.raises(InputError, match=r"^option --tag: '-predict' is no image tag"):
        choose_tag(model, "predict", "-predict")


def test_a_model_s_name_that_is_a_path_is_told_with_what_sets_it(root, workspace):
    makefile = root / "projects/income/rf/Makefile"
    makefile.write_text("# ours\nMODEL_NAME = a/b\n")
    model = workspace.model_directory(root / "projects/income/rf")
    with pytest.raises(InputError, match=rf"^{makefile}:2: MODEL_NAME: 'a/b' is no name for a model"):
        choose_model_name(model, None)
    with pytest.raises(InputError, match=r"^option --model-name .*: 'c/d' is no name for a model"):
        choose_model_name(model, "c/d")


def test_folders_whose_names_make_no_name_are_told(workspace):
    folder = workspace.projects_root / "é/ü"
    write_files(folder, {".s2i/environment": "ROUTES=r:é.ü.predict:predict\n"})
    with pytest.raises(InputError, match=rf"^{folder}: of its folders' names, as no Makefile .* ''"):
        choose_container_name(workspace.model_directory(folder), None)
