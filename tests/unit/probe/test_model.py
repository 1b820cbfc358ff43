"""What is wrong in one model directory is found before anything is built, all of it at once."""

import pytest

from modelyard.errors import InputError
from modelyard.probe.model import check_model, probe_model

RF = "projects/income/rf"
GOOD = {
    f"{RF}/.s2i/environment": "ROUTES=rf:income.rf.predict:predict\nTRAIN_MODULE=income.rf.train\n",
    f"{RF}/train.py": "import numpy\nfrom common_utils.split import halves\n\ndef train(msg): ...\n",
    f"{RF}/predict.py": "from .features import NAMES\n\ndef predict(msg): ...\n",
    f"{RF}/features.py": "NAMES = []\n",
    f"{RF}/requirements_train.txt": "numpy",
    f"{RF}/requirements_predict.txt": "numpy",
    f"{RF}/test/test_instances.json": '{"instances": [[1]]}',
    "common_utils/split.py": "def halves(rows): ...\n",
}


@pytest.fixture
def probe(make_workspace):
    def run(files=None, kind=None, without=()):
        workspace = make_workspace(
            {name: text for name, text in {**GOOD, **(files or {})}.items() if name not in without}
        )
        model = workspace.model_directory(workspace.projects_root / "income" / "rf")
        return [finding.message for finding in probe_model(workspace, model, kind=kind)]

    return run


def test_a_model_directory_that_is_right(probe):
    assert probe() == []


@pytest.mark.parametrize(
    ("files", "finding"),
    [
        ({f"{RF}/.s2i/environment": "ROUTES"}, "environment:1: 'ROUTES' has no '='"),
        ({f"{RF}/.s2i/environment": "ROUTES=rf:income.rf.predict:predict"}, "TRAIN_MODULE is not set"),
        ({f"{RF}/.s2i/environment": "TRAIN_MODULE=income.rf.train"}, f"{RF}/.s2i/environment: names no route to serve"),
        (
            {f"{RF}/.s2i/environment": "ROUTES=rf:predict:predict\nTRAIN_MODULE=income.train"},
            "TRAIN_MODULE puts the model directory into",
        ),
        (
            {f"{RF}/train.py": "x = 1"},
            f"{RF}/.s2i/environment:2: names the function 'train', but {RF}/train.py does not",
        ),
        (
            {f"{RF}/train.py": "from .gone import x\n\ndef train(msg): ...\n"},
            f"{RF}/train.py:1: imports 'income.rf.gone'",
        ),
        (
            {f"{RF}/train.py": "from common_utils import gone\n\ndef train(msg): ...\n"},
            f"{RF}/train.py:1: imports 'gone' from 'common_utils', which has no such module",
        ),
        ({f"{RF}/requirements_train.txt": "numpy\n-r base.txt"}, f"{RF}/requirements_train.txt:2: '-r base.txt' names"),
        (
            {f"{RF}/train.py": "\n\ndef train(msg, epochs): ...\n"},
            f"{RF}/train.py:3: train needs msg, epochs, but is called with one argument",
        ),
        (
            {f"{RF}/predict.py": "async def predict(msg): ...\n"},
            f"{RF}/predict.py:1: predict is async, which a worker does not await",
        ),
        ({f"{RF}/setup.sh": "apt-get update\r\n"}, f"{RF}/setup.sh:1: Windows line ends"),
        ({f"{RF}/test/test_instances.json": '{"instances": ['}, "test_instances.json:1:16: the JSON ends too early"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(probe, files, finding):
    [found] = probe(files)
    assert finding in found


def test_a_kind_is_not_held_up_by_the_other(probe):
    broken = {f"{RF}/train.py": "x = 1", f"{RF}/requirements_train.txt": "=="}
    assert probe(broken, kind="predict") == []
    assert len(probe(broken, kind="train")) == 1
    assert probe(kind="train", without=[f"{RF}/test/test_instances.json"]) == []


def test_functions_that_come_by_a_star_or_on_demand_are_believed_to_be_there(probe):
    assert probe({f"{RF}/train.py": "from .features import *\n"}) == []
    assert probe({f"{RF}/train.py": "def __getattr__(name): ...\n"}) == []


def test_a_relative_import_in_a_model_that_is_staged_at_the_root(probe):
    bare = {f"{RF}/.s2i/environment": "ROUTES=rf:predict:predict\nTRAIN_MODULE=train"}
    [found] = probe(bare)
    assert f"{RF}/predict.py:1: a relative import" in found
    assert probe({**bare, f"{RF}/predict.py": "from features import NAMES\n\ndef predict(msg): ...\n"}) == []


def test_imports_that_are_guarded_or_not_ours_are_left_alone(probe):
    guarded = "try:\n    from .fast import x\nexcept ImportError:\n    x = None\nimport torch\n\ndef train(msg): ...\n"
    assert probe({f"{RF}/train.py": guarded}) == []


def test_all_findings_are_one_error(make_workspace):
    workspace = make_workspace({**GOOD, f"{RF}/requirements_train.txt": "==", f"{RF}/setup.sh": "x\r\n"})
    with pytest.raises(InputError) as caught:
        check_model(workspace, workspace.model_directory(workspace.projects_root / "income" / "rf"))
    assert "requirements_train.txt:1" in caught.value.message and "setup.sh:1" in caught.value.message
    assert caught.value.hint.count("\n") == 1


@pytest.mark.parametrize(
    "source", ["from utils import clean", "import utils", "from utils import manifest", "import utils.manifest"]
)
def test_a_module_beside_is_found_where_a_shared_folder_has_its_name(probe, source):
    files = {
        f"{RF}/predict.py": f"{source}\n\ndef predict(msg): ...\n",
        f"{RF}/utils.py": "def clean(value): ...\n",
        "utils/__init__.py": "",
        "utils/manifest.py": "",
    }
    assert probe(files, kind="predict") == []
