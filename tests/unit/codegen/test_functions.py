"""Model directories of kubeml function files."""

import pytest

from modelyard.codegen.functions import find_functions, new_function
from modelyard.errors import InputError, WorkspaceError

CODE = """\
import os
import numpy as np
import torch.nn as nn
from torchvision import transforms
from sklearn.metrics import accuracy_score
from kubeml import KubeDataset, KubeModel


def main():
    return None
"""


@pytest.fixture
def workspace(make_workspace):
    return make_workspace({"projects/other/iris/.s2i/environment": "TRAIN_MODULE=other.iris.train\n"})


def write(tmp_path, text=CODE):
    path = tmp_path / "network.py"
    path.write_text(text)
    return path


def test_a_function_file_becomes_a_model_directory(workspace, tmp_path):
    model = new_function(workspace, "functions", "resnet-34", write(tmp_path))
    assert model.full_name == "functions/resnet_34"
    assert model.train_entry == ("functions.resnet_34.function", "main")
    assert [(route.module, route.function) for route in model.served_routes] == [
        ("functions.resnet_34.predict", "predict")
    ]
    assert (model.path / "function.py").read_text() == CODE
    assert model.requirements("train").read_text().splitlines() == [
        "torch>=2.6,<3",
        "numpy>=2.0,<3",
        "scikit-learn",
        "torchvision",
    ]
    compile((model.path / "predict.py").read_text(), "predict.py", "exec")
    assert model.model_name == "functions_resnet_34"
    assert find_functions(workspace, "functions") == [model]
    assert find_functions(workspace, "other") == []
    with pytest.raises(WorkspaceError, match="already there"):
        new_function(workspace, "functions", "resnet-34", write(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [("def train(): pass\n", r"has no function main\(\)"), ("def main(:\n", "no Python"), ("\0", "no Python")],
)
def test_what_is_no_function_file_says_so_and_leaves_nothing(workspace, tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        new_function(workspace, "functions", "net", write(tmp_path, text))
    assert not (workspace.projects_root / "functions").exists()


@pytest.mark.parametrize("name", ["data", "1net", "a/b", "class"])
def test_a_name_is_one_that_a_package_may_have(workspace, tmp_path, name):
    with pytest.raises(InputError):
        new_function(workspace, "functions", name, write(tmp_path))
