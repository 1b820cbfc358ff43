"""Files as they come from other people's machines: odd names, pipes, separators in comments, the system's variables."""

import os
import socket

import pytest

from modelyard.context.ignore import parse_ignore_rules
from modelyard.context.requirements import requirement_lines
from modelyard.context.staging import stage_model
from modelyard.errors import InputError
from modelyard.probe.model import probe_model
from modelyard.requirements.parse import parse_requirements
from modelyard.runtime.assembling.installation import read_names
from modelyard.runtime.assembling.pythons import read_python_version
from modelyard.runtime.daemon.tokens import _read_lines
from modelyard.runtime.environment import OF_THE_SYSTEM

MODEL = "projects/income/forest"
SEPARATORS = ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]


@pytest.fixture
def model(make_workspace):
    workspace = make_workspace(
        {f"{MODEL}/.s2i/environment": "ROUTES=m:income.forest.predict:run", f"{MODEL}/predict.py": "def run(msg): ..."}
    )
    return workspace, workspace.model_directory(workspace.root / MODEL)


def stage(model, tmp_path):
    workspace, directory = model
    return stage_model(workspace, directory, "predict", tmp_path / "context")


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"donn\xe9es/a.txt"])
def test_a_name_that_is_no_utf8_is_an_error_that_names_it_and_the_way_out(model, tmp_path, name):
    path = os.fsencode(model[1].path) + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "w"):  # noqa: PTH123
        pass
    with pytest.raises(InputError, match="a name that is no UTF-8 text") as error:
        stage(model, tmp_path)
    assert "\\xe9" in error.value.message
    str(error.value).encode()
    pattern = str(error.value.hint).rpartition(": ")[2]
    (model[1].path / ".s2iignore").write_text(f"{pattern}\n")
    assert not any("caf" in path.name or "donn" in path.name for path in stage(model, tmp_path).source.rglob("*"))


def test_pipes_sockets_and_devices_are_not_staged(model, tmp_path, monkeypatch):
    monkeypatch.chdir(model[1].path)
    os.mkfifo("pipe.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.txt")
        if os.geteuid() == 0:
            os.mknod("device.txt", 0o020666, os.makedev(1, 5))  # reads as zeros without an end
        staged = stage(model, tmp_path)
    assert list(staged.source.rglob("*.txt")) == []


@pytest.mark.parametrize("target", ["/etc/hosts", "nothing"])
def test_an_ignored_link_may_lead_anywhere(model, tmp_path, target):
    (model[1].path / "link").symlink_to(target)
    with pytest.raises(InputError, match=r"a link"):
        stage(model, tmp_path)
    (model[1].path / ".s2iignore").write_text("link\n")
    assert not any(path.name == "link" for path in stage(model, tmp_path).source.rglob("*"))


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_what_is_no_line_end_ends_no_line(tmp_path, separator):
    path = tmp_path / "requirements.txt"
    path.write_text(f"six # pinned{separator}numpy==0.0.1\n", encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    assert list(requirement_lines(path)) == [(1, "six")]
    assert [line.name for line in parse_requirements(text, source="r.txt")] == ["six"]
    assert list(read_names(path)) == ["six"]
    rules = parse_ignore_rules(f"# a{separator}*.py\n")
    assert rules.rules == ()
    (tmp_path / ".python-version").write_text(f"# a{separator}2.7\n3.12\n", encoding="utf-8")
    assert read_python_version(tmp_path / ".python-version") == "3.12"
    (tmp_path / "tokens").write_text(f"# a{separator}secret\n", encoding="utf-8")
    assert len(_read_lines(tmp_path / "tokens")) == 1


@pytest.mark.parametrize("name", sorted(OF_THE_SYSTEM))
def test_a_variable_of_the_system_is_refused_with_its_line(make_workspace, tmp_path, name):
    files = {
        f"{MODEL}/.s2i/environment": f"ROUTES=m:income.forest.predict:run\n{name}=/opt/tools/bin\n",
        f"{MODEL}/predict.py": "def run(msg): ...",
        f"{MODEL}/test/test_instances.json": "{}",
    }
    workspace = make_workspace(files)
    model = workspace.model_directory(workspace.root / MODEL)
    (finding,) = probe_model(workspace, model, kind="predict")
    assert f"environment:2: sets {name}," in finding.message
    with pytest.raises(InputError, match=f"environment:2: sets {name},"):
        stage_model(workspace, model, "predict", tmp_path / "context")
