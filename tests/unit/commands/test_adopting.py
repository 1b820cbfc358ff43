"""What `modelyard adopt` plans for what lies in a folder, and what it refuses before it writes anything."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from modelyard.commands.adopting import describe_adoption, diff_adoption, find_left, plan_adoption, write_adoption
from modelyard.errors import InputError, ModelyardError, WorkspaceError
from modelyard.workspace import Workspace
from tests.conftest import write_files

GOOD = {"train.py": "def train(msg): ...\n", "predict.py": "def predict(msg): ...\n"}


@pytest.fixture
def workspace(make_workspace) -> Workspace:
    made = make_workspace({"projects/recipes.mk": ""})
    return made


@pytest.fixture
def adopt(workspace, tmp_path):
    """Adopt a folder of these files; return the model directory's files by name."""

    def run(files, *, folder="iris", **options):
        source = tmp_path / folder
        write_files(source, files)
        adoption = plan_adoption(workspace, source, **options)
        write_adoption(adoption)
        [found] = adoption.models
        texts = {
            path.relative_to(found.target).as_posix(): path.read_text()
            for path in found.target.rglob("*")
            if path.is_file()
        }
        texts["said"] = "\n".join(describe_adoption(adoption))
        texts["left"] = "\n".join(find_left(adoption))
        return texts

    return run


@pytest.mark.parametrize(
    ("files", "environment"),
    [
        (GOOD, "ROUTES=iris-iris:iris.iris.predict:predict\nTRAIN_MODULE=iris.iris.train\n"),
        (
            {"train.py": "def train(): ...", "serve.py": "import f\ndef predict(msg): ...", "f.py": ""},
            "ROUTES=iris-iris:serve:predict\nTRAIN_MODULE=train\n",
        ),
        (
            {"predict.py": "w = open('weights.bin')\ndef predict_iris(msg): ...", "weights.bin": ""},
            "ROUTES=iris-iris:predict:predict_iris\n",
        ),
        (
            {"train.py": "from .f import x\ndef fit(): ...", "predict.py": "def answer(msg): ...", "f.py": "x = 1"},
            "ROUTES=iris-iris:iris.iris.predict:answer\nTRAIN_MODULE=iris.iris.train\nTRAIN_FUNCTION=fit\n",
        ),
        (
            {
                "train.py": "def train(a): ...",
                "predict.py": "import iris.f\ndef predict(m): ...",
                "f.py": "x = 1",
            },
            "ROUTES=iris-iris:iris.predict:predict\nTRAIN_MODULE=iris.train\n",
        ),
        (
            {"Iris.py": "class Iris:\n    def predict(self, X, names): ..."},
            "ROUTES=iris-iris:iris.iris.Iris:Iris\n",
        ),
        (
            {
                "Iris.py": "class Iris:\n    def predict(self, X, names): ...",
                "other.py": "def predict(msg): ...",
                ".s2i/environment": "# of Seldon\nMODEL_NAME=Iris\nAPI_TYPE=REST",
            },
            "# of Seldon\nMODEL_NAME=Iris\nAPI_TYPE=REST\nROUTES=iris-iris:iris.iris.Iris:Iris\n",
        ),
    ],
)
def test_entries_and_module_paths_are_those_that_the_files_point_at(adopt, files, environment):
    assert adopt(files)[".s2i/environment"] == environment


def test_an_environment_file_that_lacks_nothing_is_left_alone(adopt):
    environment = "ROUTES=x:flowers.rose.predict:predict\nTRAIN_MODULE=flowers.rose.train"
    found = adopt({**GOOD, ".s2i/environment": environment})
    assert found[".s2i/environment"] == environment
    assert "projects/flowers/rose: module paths below flowers.rose" in found["said"]


def test_names_come_from_the_old_makefile_which_is_kept(adopt):
    old = "MODEL_NAME := a/b\nexport DATASET_NAME=./data/x/y.csv #\nCONTAINER_NAME = r.io/${TEAM}/My_Image:1\nTEAM=t"
    found = adopt({**GOOD, "Makefile": f"{old}\ntrain:\n\tdocker run $(CONTAINER_NAME)\n"})
    names = "MODEL_NAME     = b\nDATASET_NAME   = x/y.csv\nCONTAINER_NAME = my-image\n"
    assert found["Makefile"] == f"{names}\ninclude ../../recipes.mk\n"
    assert found["Makefile.old"].startswith(old)
    assert "CONTAINER_NAME 'r.io/t/My_Image:1' becomes 'my-image'" in found["said"]
    assert "data/x/y.csv: the data set that" in found["left"]


def test_requirements_come_from_the_one_file_or_from_the_imports(adopt):
    files = {
        "train.py": "import json, sklearn.svm\nimport common_utils.split\ndef train(m): ...",
        "Iris.py": "class Iris:\n    def predict(self, X): ...",
    }
    found = adopt(files)
    assert (found["requirements_train.txt"], found["requirements_predict.txt"]) == (
        "scikit-learn\n",
        "scikit-learn\nnumpy\n",
    )
    assert "add the versions" in found["said"]
    shared = adopt({**files, "requirements.txt": "numpy==2.1\nseldon-core\n"}, folder="other")
    assert shared["requirements_train.txt"] == shared["requirements_predict.txt"] == "numpy==2.1\n"


@pytest.mark.parametrize(
    ("name", "text", "payload"),
    [
        ("sample.json", '{"data": {"ndarray": [[1, 2]]}}', {"instances": [[1, 2]]}),
        ("tests/request.json", '{"payload": {"text": "a"}}', {"text": "a"}),
        ("inputs.json", "[[1], [2]]", {"instances": [[1], [2]]}),
        ("README.md", "curl -d '{\"instances\": [3]}' localhost", {"instances": [3]}),
        (
            "contract.json",
            '{"features": [{"range": [1, 3], "dtype": "INT"}, {"values": ["a"]}]}',
            {"instances": [[2, "a"]]},
        ),
        ("config.json", '{"instances": [1]}', {"instances": []}),
        ("sample.json", "{broken", {"instances": []}),
        ("sample.json", "[" * 100_000 + "]" * 100_000, {"instances": []}),
        ("sample.json", '{"instances": [[NaN]]}', {"instances": []}),
        ("contract.json", '{"features": [{"repeat": "two"}]}', {"instances": []}),
        ("contract.json", '{"features": [{"repeat": 1000000000000}]}', {"instances": []}),
        (
            "contract.json",
            '{"features": [{"range": ["inf", 1e999], "dtype": "INT"}, {"range": 5, "values": {"a": 1}}]}',
            {"instances": [[0, 0.0]]},
        ),
    ],
)
def test_instances_are_a_request_that_is_found(adopt, name, text, payload):
    assert json.loads(adopt({**GOOD, name: text})["test/test_instances.json"]) == payload


def test_names_of_a_makefile_that_hold_each_other_are_no_names(adopt):
    old = f"A = {'$(B)' * 9}\nB = {'$(A)' * 9}\nMODEL_NAME = $(A)\nCONTAINER_NAME = mine\n"
    found = adopt({**GOOD, "Makefile": old})
    assert "MODEL_NAME     = iris_iris\n" in found["Makefile"] and "CONTAINER_NAME = mine\n" in found["Makefile"]


def test_a_file_that_python_can_not_parse_for_its_depth_is_a_note(adopt):
    files = {"predict.py": GOOD["predict.py"], "table.py": f"x = {'+'.join(['1'] * 50_000)}\n"}
    assert "table.py: nested too deeply for Python" in adopt(files)["said"]


def test_what_is_there_is_not_written_over(workspace):
    model = workspace.projects_root / "flowers/iris"
    mine = {
        "Makefile": "train:\n\techo mine\n",
        "test/test_instances.json": "[1]",
        "requirements_train.txt": "a",
        "requirements_predict.txt": "b",
    }
    write_files(model, {**GOOD, **mine})
    adoption = plan_adoption(workspace, model)
    assert {str(path.relative_to(workspace.root)) for path in write_adoption(adoption)} == {
        "projects/flowers/Makefile",
        "projects/flowers/iris/.s2i/environment",
    }
    assert {name: (model / name).read_text() for name in mine} == mine
    write_adoption(plan_adoption(workspace, model, force=True))
    assert (model / "Makefile.old").read_text() == mine["Makefile"]
    assert "include ../../recipes.mk" in (model / "Makefile").read_text()
    assert (model / "test/test_instances.json").read_text() == "[1]"
    assert write_adoption(plan_adoption(workspace, workspace.root, force=True)) == ()


def test_an_older_makefile_that_was_kept_is_not_written_over(adopt, workspace):
    files = {**GOOD, "Makefile": "train:\n", "Makefile.old": "the first\n"}
    with pytest.raises(InputError, match=r"Makefile\.old: already there"):
        adopt(files)
    write_files(workspace.projects_root / "flowers/iris", files)
    with pytest.raises(InputError, match=r"Makefile\.old: already there"):
        plan_adoption(workspace, workspace.projects_root / "flowers", force=True)


def test_a_plan_writes_nothing(workspace, tmp_path):
    write_files(tmp_path / "iris", GOOD)
    said = "\n".join(diff_adoption(plan_adoption(workspace, tmp_path / "iris")))
    assert "+TRAIN_MODULE=iris.iris.train" in said and "copy " in said
    assert not (workspace.projects_root / "iris").exists()
    assert {path.name for path in (tmp_path / "iris").iterdir()} == set(GOOD)


def test_a_project_that_fails_on_the_way_leaves_nothing(workspace, tmp_path, monkeypatch):
    write_files(tmp_path / "field", {f"{name}/{file}": text for name in "ab" for file, text in GOOD.items()})
    adoption = plan_adoption(workspace, tmp_path / "field")
    shutil.rmtree(tmp_path / "field" / "b")
    with pytest.raises(FileNotFoundError):
        write_adoption(adoption)
    assert [path.name for path in workspace.projects_root.iterdir()] == ["recipes.mk"]


@pytest.mark.parametrize(
    ("files", "says", "hint"),
    [
        ({"predict.py": "print 'hello'\ndef predict(m): ..."}, r"predict\.py:1: Missing parentheses", "it is Python 2"),
        ({"predict.py": "def predict(m):\n  ( ="}, r"predict\.py:2: ", "correct the syntax"),
        (
            {"a.py": "def predict(m): ...", "b.py": "x = 1\ndef predict(m): ..."},
            r"several could be what predicts: predict \(a\.py:1\), predict \(b\.py:2\)",
            r"ROUTES=<route>:<module>:<function>",
        ),
        (
            {"predict.py": "def predict_a(m): ...\ndef predict_b(m): ..."},
            r"predict_a \(predict\.py:1\), predict_b",
            "ROUTES",
        ),
        (
            {"train.py": "def fit_a(): ...\ndef fit_b(): ...", "predict.py": "def predict(m): ..."},
            r"several could be what trains: fit_a",
            "TRAIN_FUNCTION",
        ),
        ({"train.py": "print('training')", "x.py": ""}, r"train\.py, x\.py define no function", r"def train\(msg\)"),
        (
            {"predict.py": "def predict(model, rows): ..."},
            r"predict\.py:1: predict needs model, rows",
            r"predict\(msg\)",
        ),
        ({"my-model.py": "def predict(m): ..."}, "no module can be called 'my-model'", "rename the file"),
        ({"notes.txt": "", "data/x.csv": ""}, "no model here", "name the folder"),
        ({".s2i/environment": "ROUTES", **GOOD}, r"environment:1: 'ROUTES' has no '='", "KEY=VALUE"),
    ],
)
def test_what_can_not_be_adopted_is_said_and_nothing_written(adopt, workspace, files, says, hint):
    with pytest.raises(ModelyardError, match=says) as caught:
        adopt(files)
    assert re.search(hint, caught.value.hint or "")
    assert [path.name for path in workspace.projects_root.iterdir()] == ["recipes.mk"]


def test_broken_files_that_are_no_entry_are_notes(adopt):
    said = adopt({**GOOD, "old.py": "print 'x'\n", "utils.py": "", "test_it.py": "print 'x'"})["said"]
    assert "old.py:1: Missing parentheses" in said and "it is Python 2" in said
    assert "utils.py has the name of the workspace's utils/" in said
    assert "test_it" not in said


def test_names_that_are_no_identifiers_are_changed_on_the_way_in_and_refused_in_place(adopt, workspace):
    found = adopt({**GOOD, "Makefile": ""}, folder="2nd iris-model")
    assert "projects/model_2nd_iris_model/model_2nd_iris_model: " in found["said"]
    write_files(workspace.projects_root / "flowers/my-iris", GOOD)
    with pytest.raises(InputError, match="'my-iris': the name is no Python identifier"):
        plan_adoption(workspace, workspace.projects_root / "flowers")
    with pytest.raises(InputError, match="project 'json': the name is taken"):
        adopt(GOOD, folder="json")
    assert "projects/flowers2/json: " in adopt({}, folder="json", project="flowers2")["said"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere", "there is no such folder"),
        ("a-file", "a file"),
        (".", "holds this workspace"),
        ("other/projects/flowers/iris", "in another workspace"),
        ("workspace/utils", "belongs to the workspace itself"),
        ("workspace/projects/flowers/iris/deep", "too deep"),
    ],
)
def test_places_that_are_refused(workspace, tmp_path, path, says):
    (tmp_path / "a-file").touch()
    write_files(tmp_path / "other", {"projects/flowers/iris/train.py": "", "projects/recipes.mk": "", "builders/x": ""})
    write_files(workspace.projects_root, {"flowers/iris/deep/train.py": ""})
    with pytest.raises(WorkspaceError, match=says):
        plan_adoption(workspace, (tmp_path / path).resolve())


def test_a_project_that_is_there_gets_another_model_and_never_the_same_one_twice(adopt, workspace):
    adopt({**GOOD, "models/x.bin": "1"})
    found = adopt({**GOOD, "models/x.bin": "1"}, folder="rose", project="iris")
    assert "move what" in found["said"]
    assert (workspace.projects_root / "iris/models/x.bin").is_file()
    with pytest.raises(WorkspaceError, match="already there"):
        adopt(GOOD)


def test_links_that_leave_the_folder_are_refused(adopt, workspace, tmp_path):
    write_files(tmp_path, {"secret": "s", **{f"iris/{name}": text for name, text in GOOD.items()}})
    (tmp_path / "iris/link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="a link that leaves"):
        adopt({})
    (tmp_path / "iris/link").unlink()
    (tmp_path / "iris/link").symlink_to("gone")
    with pytest.raises(InputError, match="which is not there"):
        adopt({})
    (tmp_path / "iris/link").unlink()
    (tmp_path / "iris/link").symlink_to("train.py")
    assert adopt({})["link"] == GOOD["train.py"]
    model = workspace.projects_root / "flowers/tulip"
    write_files(model, GOOD)
    (tmp_path / "elsewhere").mkdir()
    (model / ".s2i").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorkspaceError, match="a link that leaves the model directory"):
        plan_adoption(workspace, model)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_without_permission_is_named(make_workspace):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        write_files(Path(folder), {f"iris/{name}": text for name, text in GOOD.items()})
        (Path(folder) / "iris/predict.py").chmod(0)
        workspace = make_workspace({"projects/recipes.mk": ""})
        is_root = os.geteuid() == 0
        workspace = Workspace(Path(folder) / "workspace") if is_root else workspace
        (workspace.root / "projects").mkdir(parents=True, exist_ok=True)
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError) as caught:
                plan_adoption(workspace, Path(folder) / "iris")
        finally:
            if is_root:
                os.seteuid(0)
        assert caught.value.filename.endswith("iris/predict.py")
