"""The contract of a training run: what it prints, and how it exits."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.component.runtime.pythons import find_installed_python

REPOSITORY = Path(__file__).parents[4]
Train = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Run the train builder's `run` script, as an image does, on the text of a train.py."""

    def run(source: str, *, python: str = sys.executable, **environ: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "income").mkdir()
        (tmp_path / "income" / "train.py").write_text(source)
        environment = tmp_path / "environments" / "default" / "bin"
        environment.mkdir(parents=True)
        (environment / "python").symlink_to(python)
        variables = {
            "PATH": os.environ["PATH"],
            "APP_ROOT": str(tmp_path),
            "MODELYARD_LIB": str(REPOSITORY / "src"),
            "MODELYARD_ENVIRONMENTS": str(tmp_path / "environments"),
            "TRAIN": "1",
            "TRAIN_MODULE": "income.train",
        }
        script = REPOSITORY / "builders" / "train" / "s2i" / "bin" / "run"
        return subprocess.run(["bash", script], env=variables | environ, capture_output=True, text=True)

    return run


def test_a_function_without_parameters_is_called_without(train):
    ended = train("def train():\n    return {'done': True}")
    assert (ended.returncode, ended.stdout) == (0, '{"done":true}\n'), ended.stderr


def test_a_module_beside_is_found_where_a_shared_folder_has_its_name(train, tmp_path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "half.py").write_text("HALF = 0.5")
    beside = "from pathlib import Path\nPath(__file__).with_name('utils.py').write_text('def one(): return 1')\n"
    ended = train(beside + "def train():\n    import utils, utils.half\n    return utils.one() * utils.half.HALF")
    assert (ended.returncode, ended.stdout) == (0, "0.5\n"), ended.stderr


def test_a_function_that_needs_more_than_the_message_says_so(train):
    ended = train("def two(msg, more): ...\ntrain = two")
    assert ended.returncode == 1
    assert "income.train.train(msg, more) is called with one argument, the message" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_result_is_the_last_line_of_stdout(train):
    source = "def train(msg):\n    print('epoch 1')\n    return {'got': msg.payload, 'nan': float('nan')}"
    ended = train(source, PAYLOAD='{"$ref": "data/a.csv", "model_name": "rf"}')
    assert ended.returncode == 0, ended.stderr
    first, last = ended.stdout.splitlines()
    assert first == "epoch 1"
    assert json.loads(last) == {"got": {"$ref": "data/a.csv", "model_name": "rf"}, "nan": None}


ENDINGS = {
    "no end of a line": "print('...', end='')",
    "a tee": "sys.stdout = types.SimpleNamespace(write=sys.stdout.write, flush=sys.stdout.flush)",
    "at exit": "atexit.register(print, '{}')",
    "from a thread": "threading.Timer(0.2, print, ['{}']).start()",
    "redirected": "sys.stdout = open('prints', 'w')",
    "redirected below": "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
    "closed": "sys.stdout.close()",
    "closed below": "print('lost'); os.close(1)",
    "none": "sys.stdout = sys.stderr = None",
    "replaced": "json.dumps = json.JSONEncoder.encode = os.write = os.open = None",
    "another folder": "os.chdir('/')",
    "a fork": "os.fork() and os.wait()",
    "cleared models": "shutil.rmtree('models'); os.mkdir('models')",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_result_arrives_in_its_file_whatever_becomes_of_the_prints(train, tmp_path, ending):
    (tmp_path / "models").mkdir()
    imports = "import atexit, json, os, shutil, sys, threading, types"
    source = f"{imports}\ndef train(msg):\n    {ending}\n    return {{'accuracy': 0.9}}"
    ended = train(source, MODELYARD_RESULT="models/.result.part")
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "models" / ".result.part").read_text()) == {"accuracy": 0.9}
    assert "accuracy" not in ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_train_function_that_ends_the_process_leaves_an_empty_file(train, tmp_path):
    ended = train("import os\ndef train(msg):\n    print(1, flush=True)\n    os._exit(0)", MODELYARD_RESULT="result")
    assert (ended.returncode, ended.stdout) == (0, "1\n")
    assert (tmp_path / "result").read_text() == ""


def test_a_file_that_cannot_be_written_is_said_before_anything_is_trained(train):
    ended = train("def train(msg):\n    print('training')", MODELYARD_RESULT="nowhere/result")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the result can't be written to" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_payload_is_empty_by_default(train):
    assert train("def train(msg): return msg.payload").stdout == "{}\n"


def test_function_of_another_name(train):
    assert train("def fit(msg): return 1", TRAIN_FUNCTION="fit").stdout == "1\n"


def test_exception_shows_the_users_own_frames_only(train, tmp_path):
    ended = train("def train(msg):\n    helper()\ndef helper():\n    raise KeyError('age')\n")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("Traceback (most recent call last):\n" + '  File "income/train.py", line 2')
    assert "KeyError: 'age'" in ended.stderr
    assert "modelyard" not in ended.stderr


@pytest.mark.parametrize("source", ["import nothing_such\n", "def train(msg:\n", "1 / 0\n"])
def test_module_that_cannot_be_imported_shows_the_users_own_frames_only(train, source):
    ended = train(source)
    assert ended.returncode == 1
    assert "income/train.py" in ended.stderr
    assert "modelyard" not in ended.stderr
    assert "importlib" not in ended.stderr


@pytest.mark.parametrize(
    ("call", "code"),
    [("sys.exit(7)", 7), ("sys.exit()", 1), ("sys.exit(0)", 1), ("sys.exit('no data')", 1), ("sys.exit(256)", 1)],
)
def test_exit_without_a_result_is_never_success(train, call, code):
    ended = train(f"import sys\ndef train(msg): {call}")
    assert ended.returncode == code
    assert call in ended.stderr
    assert "returned no result" in ended.stderr


def test_result_that_json_cannot_hold_is_named_by_its_path(train):
    ended = train("def train(msg): return {'metrics': [1, object()]}")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "metrics" in ended.stderr and "object" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_killed_run_says_so_by_its_signal(train):
    ended = train("import os, signal\ndef train(msg): os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.returncode == -9


@pytest.mark.parametrize("payload", ["{", "[1]", "3"])
def test_payload_that_is_no_object_is_an_error(train, payload):
    ended = train("def train(msg): return 1", PAYLOAD=payload)
    assert ended.returncode == 1
    assert "PAYLOAD is no JSON" in ended.stderr and payload in ended.stderr


def test_missing_function_names_file_and_function(train):
    ended = train("def fit(msg): return 1")
    assert ended.returncode == 1
    assert "income/train.py has no 'train'" in ended.stderr


def test_application_root_comes_first_on_the_path(train, tmp_path):
    assert train("import sys\ndef train(msg): return sys.path[0]").stdout == json.dumps(str(tmp_path)) + "\n"


def test_no_file_of_the_application_stands_in_for_the_standard_library_s_and_its_programs_know_nothing_of_that(
    train, tmp_path
):
    (tmp_path / "json.py").write_text("raise ImportError('no JSON')")
    ended = train("import os\ndef train(msg): return 'PYTHONSAFEPATH' in os.environ")
    assert ended.stdout == "false\n", ended.stderr


def test_threads_of_libraries_sleep_while_they_wait_unless_the_user_says_otherwise(train):
    source = "import os\ndef train(msg): return os.environ['OMP_WAIT_POLICY'], os.environ['MALLOC_TRIM_THRESHOLD_']"
    assert json.loads(train(source, OMP_WAIT_POLICY="ACTIVE").stdout) == ["ACTIVE", str(64 << 20)]


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13"])
def test_it_trains_under_other_pythons(train, version):
    ended = train("import sys\ndef train(msg): return sys.version_info[:2]", python=find_installed_python(version))
    assert ended.stdout == f"[{version.replace('.', ',')}]\n", ended.stderr
