"""Models and data that live in a store: pulled whole or not at all, pushed with the manifest last."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelyard.commands.remote import check_target, pull_data, pull_model, push_model
from modelyard.errors import InputError, StoreError, WorkspaceError


class Quiet:
    """A reporter that nobody reads."""

    def note(self, text: str) -> None: ...

    @contextmanager
    def step(self, text: str) -> Iterator["Quiet"]:
        yield self

    def output(self, line: str) -> None: ...

    def done(self, text: str) -> None: ...


def write_model(folder: Path, name: str, content: bytes) -> str:
    """Write a binary and its manifest; return the binary's name."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{name}.{digest[:12]}.ubj").write_bytes(content)
    manifest = {"file": f"{name}.{digest[:12]}.ubj", "sha256": digest}
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    return f"{name}.{digest[:12]}.ubj"


def test_a_pushed_model_is_pulled_under_the_addresss_name(tmp_path):
    file = write_model(tmp_path / "models", "rf", b"weights")
    push_model(tmp_path / "models", "rf", f"{tmp_path}/store/income/best", Quiet())

    name = pull_model(f"{tmp_path}/store/income/best", tmp_path / "elsewhere", Quiet())

    assert name == "best"
    assert (tmp_path / "elsewhere" / file).read_bytes() == b"weights"
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["best.json", file]


def test_a_damaged_binary_leaves_the_old_model_as_it_was(tmp_path):
    file = write_model(tmp_path / "store", "rf", b"weights")
    old = write_model(tmp_path / "models", "rf", b"old weights")
    before = (tmp_path / "models" / "rf.json").read_bytes()
    (tmp_path / "store" / file).write_bytes(b"wrong!!")

    with pytest.raises(StoreError, match="sha256"):
        pull_model(f"{tmp_path}/store/rf", tmp_path / "models", Quiet())

    assert (tmp_path / "models" / "rf.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == sorted([old, "rf.json"])


def test_a_manifest_cannot_lead_out_of_the_folder(tmp_path):
    write_model(tmp_path / "store", "rf", b"weights")
    secret = tmp_path / "secret"
    secret.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "store" / "rf.json").write_text(json.dumps({"file": "../secret", "sha256": digest}))
    with pytest.raises(StoreError):
        pull_model(f"{tmp_path}/store/rf", tmp_path / "models", Quiet())
    assert list((tmp_path / "models").iterdir()) == []


def test_what_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "rf.json").write_text('{"name": "rf"}')
    with pytest.raises(InputError, match="no manifest of a model binary"):
        pull_model(f"{tmp_path}/rf", tmp_path / "models", Quiet())


def test_a_folder_is_no_model_and_an_untrained_model_cannot_be_pushed(tmp_path):
    with pytest.raises(InputError, match="names a folder"):
        pull_model("s3://bucket/income/", tmp_path, Quiet())
    with pytest.raises(WorkspaceError, match="has no model rf to push"):
        push_model(tmp_path, "rf", f"{tmp_path}/store/rf", Quiet())


def test_data_come_as_one_file_or_a_folder(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.csv").write_text("1")
    (tmp_path / "source" / "b.csv").write_text("2")
    pull_data(f"{tmp_path}/source/", tmp_path / "data", Quiet())
    pull_data(f"{tmp_path}/source/a.csv", tmp_path / "one", Quiet())
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["a.csv", "b.csv"]
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["a.csv"]


@pytest.mark.parametrize("url", ["taken/rf", "taken/income/rf", "link/rf"])
def test_a_folder_that_cannot_be_made_is_told_before_and_while_it_is_pushed_to(tmp_path, url):
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "link").symlink_to("nowhere")
    write_model(tmp_path / "models", "rf", b"weights")
    with pytest.raises(StoreError, match="is no folder") as error:
        check_target(f"{tmp_path}/{url}")
    assert "name another folder" in str(error.value.hint)
    with pytest.raises(StoreError, match="is no folder"):
        push_model(tmp_path / "models", "rf", f"{tmp_path}/{url}", Quiet())


def test_a_folder_without_permission_is_told_before_it_is_pushed_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(StoreError, match="can't be written to"):
        check_target(f"{tmp_path}/store/rf")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_yet_can_be_pushed_to(tmp_path):
    check_target(f"{tmp_path}/store/income/rf")
    assert list(tmp_path.iterdir()) == []
