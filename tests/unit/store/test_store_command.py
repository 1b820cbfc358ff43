"""`modelyard store` with a folder as the store."""

import json

import pytest

from modelyard.cli import main


@pytest.fixture
def run(tmp_path, capsys):
    """Run a command in the test's folder; return its exit code, output and complaints."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["-C", str(tmp_path), "store", *arguments])
        said = capsys.readouterr()
        return caught.value.code, said.out, said.err

    return run


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "rf.ubj"
    path.write_bytes(b"weights")
    return path


def test_there_and_back(run, model, tmp_path):
    stored = tmp_path / "store" / "income" / "rf.ubj"
    assert run("push", "rf.ubj", "store/income/")[:2] == (0, f"{stored}\n")
    assert run("pull", "store/income/rf.ubj", "copy.ubj")[:2] == (0, f"{tmp_path / 'copy.ubj'}\n")
    assert (tmp_path / "copy.ubj").read_bytes() == b"weights"
    code, out, _ = run("ls", "store", "--json")
    assert code == 0 and [(file["url"], file["size"]) for file in json.loads(out)] == [(str(stored), 7)]
    assert "rf.ubj" in run("ls", "store")[1]
    assert run("rm", "store/income/rf.ubj")[:2] == (0, f"{stored}\n")
    assert not stored.exists()


def test_a_folder_comes_whole(run, model, tmp_path):
    run("push", "rf.ubj", "store/a/")
    run("push", "rf.ubj", "store/b/")
    assert run("pull", "store/", "here")[0] == 0
    assert sorted(path.parent.name for path in (tmp_path / "here").rglob("*.ubj")) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("pull", "nope.ubj"), 9, "nope.ubj: no such file"),
        (("pull", "gs://models/rf.ubj"), 3, "no store for gs://"),
        (("pull", "rf.ubj", "copy.ubj", "--sha256", "00"), 9, "expected 00"),
        (("push", "nope.ubj", "store/"), 3, "nope.ubj: can't read it"),
        (("ls", "nope/"), 9, "nope/: no such folder"),
        (("rm", "."), 3, "a folder"),
    ],
)
def test_a_mistake_is_an_error_with_its_own_exit_code(run, model, arguments, code, message):
    found, out, complaint = run(*arguments)
    assert found == code and message in complaint and "hint:" in complaint and not out
    assert model.read_bytes() == b"weights"


@pytest.mark.parametrize("arguments", [("pull", "income/nope.ubj"), ("ls", "income/nope/")])
def test_what_is_not_there_leads_to_what_there_is(run, tmp_path, arguments):
    assert f"see what there is: modelyard store ls {tmp_path / 'income'}\n" in run(*arguments)[2]


def test_a_file_that_is_put_where_it_is_stays_as_it_is(run, model):
    before = model.stat()
    assert run("push", "rf.ubj", "rf.ubj")[:2] == run("pull", "rf.ubj", ".")[:2] == (0, f"{model}\n")
    assert model.stat().st_ino == before.st_ino and model.read_bytes() == b"weights"


def test_a_pipe_gets_no_bar(run, model):
    assert run("push", "rf.ubj", "store/")[2] == ""
