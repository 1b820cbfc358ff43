import pytest

from modelyard.commands.subject import (
    choose_container_name,
    choose_model_name,
    choose_tag,
    default_tag,
    find_combined,
    find_models,
    find_project,
    find_projects,
    find_subject,
    locate,
    models_of,
)
from modelyard.errors import InputError, WorkspaceError
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


@pytest.mark.parametrize("start", [".", "builders", "projects", "projects/tumor", "projects/income/rf", "utils"])
@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("income/rf", "projects/income/rf"),
        ("income/rf/", "projects/income/rf"),
        ("projects/income/rf", "projects/income/rf"),
        ("rf", "projects/income/rf"),
        ("svm", "projects/tumor/svm"),
        ("income", "projects/income"),
        ("income/all", "projects/income/all"),
        ("tumor/all", "projects/tumor/all"),
        ("projects", "projects"),
    ],
)
def test_a_name_means_the_same_in_every_folder(root, workspace, start, text, path):
    assert locate(workspace, text, start=root / start) == root / path


@pytest.mark.parametrize(
    ("start", "path"),
    [
        (".", "projects/all"),
        ("projects", "projects/all"),
        ("projects/income", "projects/income/all"),
        ("projects/income/rf", "projects/income/all"),
    ],
)
def test_all_is_the_nearest_one(root, workspace, start, path):
    assert locate(workspace, "all", start=root / start) == root / path


@pytest.mark.parametrize("text", [".", "..", "./rf", "../gone", "/etc"])
def test_what_is_written_as_a_path_is_one(root, workspace, text):
    start = root / "projects" / "income"
    assert locate(workspace, text, start=start) == (start / text).resolve()


def test_a_name_that_two_models_have_asks_for_the_project(root, workspace):
    write_files(workspace.projects_root, {"tumor/rf/.s2i/environment": ENVIRONMENT})
    with pytest.raises(WorkspaceError, match=r"'rf' is the name of several model directories: income/rf, tumor/rf"):
        locate(workspace, "rf", start=root)
    assert locate(workspace, "rf", start=root / "projects/tumor/svm") == root / "projects/tumor/rf"


def test_a_folder_is_found_that_lacks_its_environment_file(root, workspace):
    (workspace.projects_root / "tumor/lr").mkdir()
    path = locate(workspace, "tumor/lr", start=root)
    with pytest.raises(WorkspaceError, match=r"tumor/lr: no model directory, it has no \.s2i/environment"):
        find_subject(workspace, path)


@pytest.mark.parametrize(
    ("text", "meant"), [("svn", "tumor/svm"), ("income/fr", "income/rf"), ("projects/tumor/svmm", "tumor/svm")]
)
def test_a_near_miss_is_told(root, workspace, text, meant):
    with pytest.raises(WorkspaceError, match=f"there is no such folder; did you mean {meant}\\?"):
        locate(workspace, text, start=root)


def test_of_many_models_three_are_named(root, workspace):
    write_files(workspace.projects_root, {f"many/m{n}/.s2i/environment": ENVIRONMENT for n in range(23)})
    with pytest.raises(WorkspaceError, match=r"\(model directories here: many/m22, many/m2, \S+ and 23 others\)"):
        locate(workspace, "many/m222", start=root)


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


@pytest.mark.parametrize("text", ["income", "projects/income", "./projects/income", "projects/../projects/income/"])
def test_a_project_is_given_by_name_or_path(root, workspace, text):
    assert find_project(workspace, text, start=root) == "income"


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
