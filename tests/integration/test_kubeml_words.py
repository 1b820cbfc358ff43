"""A script of the original kubeml's users, as they wrote it, with its command in the place of theirs."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import numpy
import pytest

from tests.integration.projects import ROOT
from tests.integration.tiny_workspace import Tiny, tiny_workspace
from tests.integration.uv_environments import find_cpu_torch

pytestmark = pytest.mark.integration

# Waits as the scripts in the field do: the id is what `train` prints, and it is gone from `task list` in the end.
SCRIPT = """\
import re
import subprocess
import sys
import time


def run(command):
    return subprocess.check_output(command, shell=True).decode("utf-8")


run("./kubeml function create --name resnet-34 --code network.py")
run("./kubeml dataset create --name digits --traindata x.npy --trainlabels y.npy --testdata x.npy --testlabels y.npy")
out = run("./kubeml train --function resnet-34 --dataset digits --epochs 2 --lr 0.05 --batch 32 --static")
job_id = re.sub(r"\\W", "", out)
assert len(job_id) < 10, out
while job_id in run("./kubeml task list"):
    time.sleep(0.5)
print(run("./kubeml history get --network " + job_id))
print("----")
print(run("./kubeml infer --network " + job_id + " --datafile digits.json"))
print("----")
print(run("./kubeml logs --id " + job_id))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A workspace with nothing in it, and a `kubeml` in its root."""
    with tiny_workspace(tmp_path_factory.mktemp("words")) as tiny:
        root = tiny.workspace.root
        (root / "kubeml.sh").write_text('#!/bin/sh\nexec modelyard kubeml "$@"\n')
        (root / "kubeml.sh").chmod(0o755)
        yield tiny


def test_a_script_of_the_originals_users_runs(tiny: Tiny):
    if find_cpu_torch() is None:
        pytest.skip("no CPU wheel of torch in pip's find-links: from the index it would bring gigabytes of CUDA")
    root = tiny.workspace.root
    shutil.copy(ROOT / "projects/digits/resnet/function.py", root / "network.py")
    pictures = numpy.random.default_rng(0).integers(0, 17, (64, 8, 8)).astype("float32")
    numpy.save(root / "x.npy", pictures)
    numpy.save(root / "y.npy", numpy.arange(64) % 10)
    (root / "digits.json").write_text(json.dumps(pictures[:3].tolist()))
    (root / "script.py").write_text(SCRIPT.replace("./kubeml ", "./kubeml.sh "))
    done = subprocess.run([sys.executable, "script.py"], cwd=root, env=tiny.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    history, answer, log = done.stdout.split("----\n")
    told = json.loads(history)
    assert told["task"]["function_name"] == "resnet_34"
    assert (told["task"]["dataset"], told["task"]["epochs"], told["task"]["lr"]) == ("digits", 2, 0.05)
    assert [len(values) for values in told["data"].values()] == [2] * 5
    assert len(json.loads(answer)["predictions"]) == 3
    assert re.search(r"^epoch 2/2 ", log, re.MULTILINE)
    assert tiny.running() == []
    models = [path.name for path in root.glob("projects/functions/models/*.json")]
    assert len(models) == 1


def test_what_is_missing_is_named(tiny: Tiny):
    train = ("modelyard", "kubeml", "train", "--function", "none", "--dataset", "none")
    assert "there is no function 'none'" in tiny.fail(*train, code=3)
    assert "there is no job 'abc'" in tiny.fail("modelyard", "kubeml", "history", "get", "--network", "abc", code=3)
    assert "no such data set" in tiny.fail("modelyard", "kubeml", "dataset", "delete", "-n", "none", code=3)
    listed = tiny.succeed("modelyard", "kubeml", "task", "list").splitlines()
    assert [line.split() for line in listed] == [["NAME", "FUNCTION", "DATASET", "MODEL", "EPOCHS", "BATCH", "LR"]]
    wrong = ("--epochs", "0")
    assert "--epochs" in tiny.fail("modelyard", "kubeml", "train", "-f", "a", "-d", "b", *wrong, code=2)
