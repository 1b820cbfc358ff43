"""What is staged where, at all three depths of module path, alone and in all/."""

import json
from pathlib import Path

import pytest

from modelyard.context.build_context import load_context
from modelyard.context.staging import stage_combined, stage_model
from modelyard.errors import InputError
from modelyard.workspace import Workspace

MODEL = "projects/income/forest"


def model_files(package: str, *, project: str = "income", model: str = "forest", route: str = "rf") -> dict[str, str]:
    """A model directory whose environment puts it into `package`."""
    prefix = f"{package}." if package else ""
    folder = f"projects/{project}/{model}"
    return {
        f"{folder}/.s2i/environment": f"ROUTES={route}:{prefix}predict:{route}\nTRAIN_MODULE={prefix}train",
        f"{folder}/train.py": "def train(msg): return {}\n",
        f"{folder}/predict.py": f"def {route}(msg): return 1\n",
        f"{folder}/requirements_train.txt": "six",
        f"{folder}/requirements_predict.txt": "six\nidna # why",
        f"{folder}/test/test_instances.json": "[]",
        f"{folder}/Makefile": "MODEL_NAME = adult_rf\n",
        f"{folder}/README.md": "about",
    }


def stage(workspace: Workspace, root: Path, kind: str = "predict", model: str = MODEL, **options: object):
    return stage_model(workspace, workspace.model_directory(workspace.root / model), kind, root, **options)


def staged_files(root: Path) -> set[str]:
    source = root / "upload" / "src"
    return {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}


def test_two_deep_module_path_stages_into_its_package(make_workspace, tmp_path):
    files = model_files("income.forest") | {"projects/income/common_utils/columns.py": "A = 1\n"}
    context = stage(make_workspace(files), tmp_path / "context")
    assert staged_files(context.root) == {
        ".s2i/application.json",
        ".s2i/environment",
        "requirements.txt",
        "common_utils/__init__.py",
        "utils/__init__.py",
        "income/__init__.py",
        "income/common_utils/__init__.py",
        "income/common_utils/columns.py",
        "income/forest/__init__.py",
        "income/forest/predict.py",
        "income/forest/train.py",
        "income/forest/test/test_instances.json",
    }


def test_one_deep_module_path_stages_into_the_project(make_workspace, tmp_path):
    context = stage(make_workspace(model_files("income")), tmp_path / "context")
    assert {"income/__init__.py", "income/predict.py", "income/test/test_instances.json"} <= staged_files(context.root)


def test_bare_module_path_stages_at_the_root(make_workspace, tmp_path):
    context = stage(make_workspace(model_files("")), tmp_path / "context")
    files = staged_files(context.root)
    assert {"predict.py", "train.py", "test/test_instances.json"} <= files
    assert "__init__.py" not in files


def test_what_is_for_people_or_mounted_is_not_staged(make_workspace, tmp_path):
    junk = ("data/a.csv", "models/a.pkl", ".git/HEAD", "__pycache__/a.pyc", "README.rst", "requirements_extra.txt")
    files = model_files("income.forest") | {f"{MODEL}/{name}": "x" for name in junk}
    context = stage(make_workspace(files), tmp_path / "context")
    staged = staged_files(context.root)
    assert not [name for name in staged for part in ("data/", "models/", ".git", "pycache", "README") if part in name]
    assert not [name for name in staged if "requirements_" in name or "Makefile" in name]


def test_ignore_file_leaves_out_and_takes_back(make_workspace, tmp_path):
    files = model_files("income.forest") | {
        f"{MODEL}/.s2iignore": "# notes\n*.log\n!keep.log\nnotebooks",
        f"{MODEL}/a.log": "",
        f"{MODEL}/keep.log": "",
        f"{MODEL}/notebooks/deep/a.ipynb": "",
    }
    staged = staged_files(stage(make_workspace(files), tmp_path / "context").root)
    assert "income/forest/keep.log" in staged
    assert not [name for name in staged if name.endswith(("a.log", ".ipynb", ".s2iignore"))]


def test_single_model_knows_its_name_and_describes_itself(make_workspace, tmp_path):
    context = stage(make_workspace(model_files("income.forest")), tmp_path / "context")
    assert context.environment["MODEL_NAME"] == context.environment["MODElNAME"] == "adult_rf"
    assert context.requirements == ("six", "idna")
    assert json.loads((context.source / ".s2i/application.json").read_text()) == {
        "schema": 1,
        "name": "income/forest",
        "kind": "predict",
        "models": [
            {
                "name": "income/forest",
                "path": "income/forest",
                "environment": "default",
                "routes": ["rf"],
                "instances": "income/forest/test/test_instances.json",
            }
        ],
    }


def test_a_name_the_user_sets_stays(make_workspace, tmp_path):
    files = model_files("income.forest")
    files[f"{MODEL}/.s2i/environment"] += "\nMODEL_NAME=mine"
    assert stage(make_workspace(files), tmp_path / "context").environment["MODEL_NAME"] == "mine"


def test_kinds_have_their_own_requirements_and_builder(make_workspace, tmp_path):
    workspace = make_workspace(model_files("income.forest"))
    train = stage(workspace, tmp_path / "train", "train")
    predict = stage(workspace, tmp_path / "predict", "predict")
    assert train.requirements == ("six",)
    assert (train.about.builder.name, predict.about.builder.name) == ("train", "daemon")
    assert train.about.requirements == "projects/income/forest/requirements_train.txt"
    assert (train.scripts / "assemble").stat().st_mode & 0o111


def test_own_scripts_override_the_builders(make_workspace, tmp_path):
    files = model_files("income.forest") | {f"{MODEL}/.s2i/bin/assemble": "#!/bin/bash\n# mine\n"}
    context = stage(make_workspace(files), tmp_path / "context", "train")
    assert "mine" in (context.scripts / "assemble").read_text()
    assert (context.scripts / "run").is_file()
    assert not (context.source / ".s2i" / "bin").exists()


def test_digest_is_that_of_the_content(make_workspace, tmp_path):
    workspace = make_workspace(model_files("income.forest"))
    first = stage(workspace, tmp_path / "first")
    (workspace.root / MODEL / "predict.py").touch()
    again = stage(workspace, tmp_path / "again")
    assert first.source_digest == again.source_digest
    (workspace.root / MODEL / "predict.py").write_text("def rf(msg): return 2\n")
    changed = stage(workspace, tmp_path / "again")
    assert changed.source_digest != first.source_digest
    assert changed.dependencies_digest == first.dependencies_digest


def test_executable_bit_counts(make_workspace, tmp_path):
    workspace = make_workspace(model_files("income.forest"))
    first = stage(workspace, tmp_path / "context")
    (workspace.root / MODEL / "predict.py").chmod(0o755)
    assert stage(workspace, tmp_path / "context").source_digest != first.source_digest


def test_comments_do_not_change_the_dependencies(make_workspace, tmp_path):
    files = model_files("income.forest")
    first = stage(make_workspace(files), tmp_path / "context")
    files[f"{MODEL}/requirements_predict.txt"] = "# two packages\n\nsix\nidna\n"
    assert stage(make_workspace(files), tmp_path / "context").dependencies_digest == first.dependencies_digest
    files[f"{MODEL}/setup.sh"] = "true\n"
    assert stage(make_workspace(files), tmp_path / "context").dependencies_digest != first.dependencies_digest


def test_edited_context_is_read_back_with_new_digests(make_workspace, tmp_path):
    context = stage(make_workspace(model_files("income.forest")), tmp_path / "context")
    assert load_context(context.root) == context
    (context.source / "income/forest/table.csv").write_text("1")
    (context.source / "requirements.txt").write_text("idna")
    edited = load_context(context.root)
    assert edited.source_digest != context.source_digest
    assert edited.requirements == ("idna",)
    assert (edited.name, edited.kind) == ("income/forest", "predict")


def test_staging_replaces_what_was_staged(make_workspace, tmp_path):
    workspace = make_workspace(model_files("income.forest"))
    context = stage(workspace, tmp_path / "context")
    (context.source / "stale.py").write_text("")
    assert "stale.py" not in staged_files(stage(workspace, tmp_path / "context").root)


def test_with_models_bakes_the_binary_and_its_manifest(make_workspace, tmp_path):
    files = model_files("income.forest") | {
        "projects/income/models/adult_rf.skops": "x",
        "projects/income/models/adult_rf.json": "{}",
        "projects/income/models/other.skops": "x",
    }
    staged = staged_files(stage(make_workspace(files), tmp_path / "context", with_models=True).root)
    assert {name for name in staged if name.startswith("models/")} == {"models/adult_rf.skops", "models/adult_rf.json"}


def test_with_models_needs_a_trained_one(make_workspace, tmp_path):
    with pytest.raises(InputError, match=r"no model binary adult_rf\.\*"):
        stage(make_workspace(model_files("income.forest")), tmp_path / "context", with_models=True)


def test_link_that_leaves_the_model_directory_is_an_error(make_workspace, tmp_path):
    workspace = make_workspace(model_files("income.forest"))
    (workspace.root / MODEL / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"passwords: a link that leaves .*forest"):
        stage(workspace, tmp_path / "context")


def test_link_inside_the_model_directory_is_staged_as_a_file(make_workspace, tmp_path):
    workspace = make_workspace(model_files("income.forest"))
    (workspace.root / MODEL / "same.py").symlink_to("predict.py")
    context = stage(workspace, tmp_path / "context")
    staged = context.source / "income/forest/same.py"
    assert staged.read_text() == "def rf(msg): return 1\n"
    assert not staged.is_symlink()


@pytest.mark.parametrize("target", [".", "missing"])
def test_link_to_nowhere_or_to_its_own_folder_is_an_error(make_workspace, tmp_path, target):
    workspace = make_workspace(model_files("income.forest"))
    (workspace.root / MODEL / "loop").symlink_to(target)
    with pytest.raises(InputError, match="loop: a link to"):
        stage(workspace, tmp_path / "context")


@pytest.mark.parametrize("script", ["setup.sh", ".s2i/bin/assemble"])
def test_script_with_windows_line_ends_is_an_error(make_workspace, tmp_path, script):
    files = model_files("income.forest") | {f"{MODEL}/{script}": "#!/bin/bash\ntrue\r\n"}
    with pytest.raises(InputError, match=rf"{script}:2: Windows line ends"):
        stage(make_workspace(files), tmp_path / "context")


def test_requirements_that_name_another_file_are_an_error(make_workspace, tmp_path):
    files = model_files("income.forest") | {f"{MODEL}/requirements_predict.txt": "six\n-r base.txt\n"}
    with pytest.raises(InputError, match=r"requirements_predict.txt:2: '-r base.txt' names another file"):
        stage(make_workspace(files), tmp_path / "context")


def test_file_that_two_sources_need_is_an_error_naming_both(make_workspace, tmp_path):
    files = model_files("") | {f"{MODEL}/utils/__init__.py": "X = 1"}
    with pytest.raises(InputError, match=r"forest/utils/__init__.py and .*workspace/utils/__init__.py both belong at"):
        stage(make_workspace(files), tmp_path / "context")


def test_unknown_variant_lists_those_there_are(make_workspace, tmp_path):
    with pytest.raises(InputError, match=r"tpu.args: no such variant \(there are: cpu, cuda\)"):
        stage(make_workspace(model_files("income.forest")), tmp_path / "context", variant="tpu")


def test_folder_that_is_no_context_says_so(tmp_path):
    with pytest.raises(InputError, match=r"no build context, it has no context.json"):
        load_context(tmp_path)


def combined_files(*models: dict[str, str]) -> dict[str, str]:
    files = {"projects/income/all/predict.py": "TABLE = {}\n", "projects/income/all/requirements.txt": "six"}
    routes = [
        text.splitlines()[0].removeprefix("ROUTES=") for model in models for text in model.values() if "ROUTES" in text
    ]
    files["projects/income/all/.s2i/environment"] = f"ROUTES={','.join(routes)}"
    return {name: text for model in models for name, text in model.items()} | files


def stage_all(workspace: Workspace, root: Path, path: str = "projects/income/all"):
    return stage_combined(workspace, workspace.combined_directory(workspace.root / path), root)


def test_combined_stages_each_model_apart_and_the_generated_module_where_routes_point(make_workspace, tmp_path):
    one = model_files("income", model="forest", route="rf")
    two = model_files("", model="boost", route="xgb")
    three = model_files("income.logistic", model="logistic", route="lr")
    context = stage_all(make_workspace(combined_files(one, two, three)), tmp_path / "context")
    generated = (context.source / "predict.py").read_text()
    assert generated == "TABLE = {}\n"
    assert (context.source / "income/predict.py").read_text() == generated
    assert "def rf" in (context.source / "income/forest/predict.py").read_text()
    assert "def xgb" in (context.source / "income/boost/predict.py").read_text()
    assert "def lr" in (context.source / "income/logistic/predict.py").read_text()
    assert "MODEL_NAME" not in context.environment
    assert context.name == "income/all"
    models = json.loads((context.source / ".s2i/application.json").read_text())["models"]
    assert [(model["path"], model["routes"]) for model in models] == [
        ("income/boost", ["xgb"]),
        ("income/forest", ["rf"]),
        ("income/logistic", ["lr"]),
    ]


def test_combined_of_every_project(make_workspace, tmp_path):
    files = combined_files(model_files("income"), model_files("tumor", project="tumor", route="svm"))
    files = {name.replace("income/all", "all"): text for name, text in files.items()}
    context = stage_all(make_workspace(files), tmp_path / "context", "projects/all")
    assert context.name == "all"
    assert {"income/forest/train.py", "tumor/forest/train.py", "tumor/predict.py"} <= staged_files(context.root)


def test_two_models_that_need_one_name_are_an_error_naming_both(make_workspace, tmp_path):
    one = model_files("income", model="forest", route="rf")
    two = model_files("income", model="boost", route="xgb")
    two["projects/income/boost/.s2i/environment"] = "ROUTES=xgb:income.predict:rf\n"
    with pytest.raises(InputError, match=r"forest.*income\.predict\.rf twice.*boost"):
        stage_all(make_workspace(combined_files(one, two)), tmp_path / "context")


def test_route_at_another_models_staged_module_is_an_error(make_workspace, tmp_path):
    one = model_files("income.forest", model="forest", route="rf")
    two = model_files("income.forest", model="boost", route="xgb")
    with pytest.raises(InputError, match=r"boost/.s2i/environment.*income\.forest\.predict twice.*forest/predict.py"):
        stage_all(make_workspace(combined_files(one, two)), tmp_path / "context")


def test_module_that_a_package_would_hide_is_an_error(make_workspace, tmp_path):
    model = model_files("income")
    model[f"{MODEL}/.s2i/environment"] = "ROUTES=rf:income:rf\n"
    with pytest.raises(InputError, match=r"income.py and the package income/"):
        stage_all(make_workspace(combined_files(model)), tmp_path / "context")


def test_directory_name_that_is_no_identifier_is_an_error_in_all(make_workspace, tmp_path):
    files = combined_files(model_files("income", model="random-forest"))
    with pytest.raises(InputError, match=r"random-forest: 'random-forest' is no Python identifier") as error:
        stage_all(make_workspace(files), tmp_path / "context")
    assert "random_forest" in (error.value.hint or "")


def test_missing_generated_module_says_how_to_make_it(make_workspace, tmp_path):
    files = combined_files(model_files("income"))
    del files["projects/income/all/predict.py"]
    with pytest.raises(InputError, match=r"all/predict.py: no such file") as error:
        stage_all(make_workspace(files), tmp_path / "context")
    assert "modelyard generate" in (error.value.hint or "")
