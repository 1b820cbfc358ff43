"""The S3 store against a real S3 server: OpenStack Swift with its s3api middleware."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from modelyard.errors import StoreError
from modelyard.store.protocols import InterruptedTransferError
from modelyard.store.transfer import fetch, fetch_all, list_files, push, push_all, remove
from tests.integration.cutting_proxy import CuttingProxy, run_cutting_proxy
from tests.integration.swift_server import SwiftServer, run_swift_with_bucket

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed here: pip install 'modelyard[s3]'")

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")]

SIZE = 12_000_000
URL = "s3://models/income/model.pth"


@pytest.fixture(scope="module")
def swift() -> Iterator[SwiftServer]:
    """One server for all tests, with the bucket `models`."""
    with TemporaryDirectory() as folder, run_swift_with_bucket(Path(folder), "models") as server:
        yield server


@pytest.fixture
def s3(swift, monkeypatch, tmp_path) -> SwiftServer:
    """The server, an empty bucket in it, and the variables by which the SDK finds it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in swift.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    for address, _ in list_files("s3://models/"):
        remove(str(address))
    return swift


@pytest.fixture
def model(tmp_path) -> Path:
    """A file that is sent in parts, and comes in many chunks."""
    path = tmp_path / "model.pth"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def proxy(s3, monkeypatch) -> Iterator[CuttingProxy]:
    """A connection to the server that can be cut."""
    with run_cutting_proxy(int(s3.endpoint.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


def modelyard(*arguments: str, **options) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "modelyard", "store", *arguments]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def await_truth(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part"))


def test_there_and_back(s3, model, tmp_path):
    assert push(model, "s3://models/income/") == URL
    target = fetch(URL, tmp_path / "mainModel.pth")
    assert target.read_bytes() == model.read_bytes() and not parts(tmp_path)
    ((address, entry),) = list_files("s3://models/")
    assert str(address) == URL and entry.size == SIZE
    head = boto3.client("s3").head_object(Bucket="models", Key="income/model.pth")
    assert head["Metadata"] == {"sha256": hashlib.sha256(model.read_bytes()).hexdigest()}


def test_a_folder_of_data_there_and_back(s3, tmp_path):
    for name in ("X.npy", "sub/y.npy"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    push_all(tmp_path / "data", "s3://models/data/")
    assert sorted(path.read_text() for path in fetch_all("s3://models/data/", tmp_path / "got")) == [
        "X.npy",
        "sub/y.npy",
    ]


def test_a_connection_cut_at_half_goes_on_by_itself(proxy, model, tmp_path):
    push(model, URL)
    proxy.cut_after(SIZE // 2, times=1)
    seen = []
    fetch(URL, tmp_path / "copy", progress=lambda done, total: seen.append(done))
    assert proxy.done == 1 and (tmp_path / "copy").read_bytes() == model.read_bytes()
    assert seen == sorted(set(seen)), "bytes came twice"


def test_a_connection_that_keeps_breaking_is_an_error_and_the_next_pull_goes_on(proxy, model, tmp_path):
    push(model, URL)
    target = tmp_path / "copy"
    target.write_bytes(b"the old one")
    proxy.cut_after(SIZE // 10, times=5)
    with pytest.raises(InterruptedTransferError, match=r"cut off after [\d,]+ of 12,000,000 bytes"):
        fetch(URL, target)
    assert target.read_bytes() == b"the old one"
    (part,) = parts(tmp_path)
    there = part.stat().st_size
    assert there > SIZE // 3
    seen = []
    fetch(URL, target, progress=lambda done, total: seen.append(done))
    assert seen[0] > there and target.read_bytes() == model.read_bytes() and not parts(tmp_path)


def test_a_pull_that_is_killed_goes_on_with_the_next(proxy, model, tmp_path):
    push(model, URL)
    proxy.cut_after(SIZE // 2, times=1_000)  # so that it can't end before it is killed
    pull = modelyard("pull", URL, str(tmp_path / "copy"))
    await_truth(lambda: any(part.stat().st_size for part in parts(tmp_path)))
    pull.kill()
    pull.communicate()
    assert not (tmp_path / "copy").exists() and parts(tmp_path)
    proxy.cut_after(0, times=0)
    fetch(URL, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == model.read_bytes() and not parts(tmp_path)


def test_ctrl_c_is_no_error_of_ours(proxy, model, tmp_path):
    push(model, URL)
    proxy.cut_after(SIZE // 2, times=1_000)
    pull = modelyard("pull", URL, str(tmp_path / "copy"))
    await_truth(lambda: any(part.stat().st_size for part in parts(tmp_path)))
    pull.send_signal(signal.SIGINT)
    _, said = pull.communicate(timeout=20)
    assert pull.returncode == 130 and "Traceback" not in said


def test_two_pulls_of_one_key_at_once(s3, model, tmp_path):
    push(model, URL)
    pulls = [modelyard("pull", URL, str(tmp_path / "copy")) for _ in range(2)]
    for pull in pulls:
        said, complained = pull.communicate(timeout=60)
        assert pull.returncode == 0 and said.strip() == str(tmp_path / "copy"), complained
    assert (tmp_path / "copy").read_bytes() == model.read_bytes() and not parts(tmp_path)


def test_a_damaged_object_is_refused(s3, model, tmp_path):
    push(model, URL)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    boto3.client("s3").put_object(
        Bucket="models", Key="income/model.pth", Body=b"something else", Metadata={"sha256": digest}
    )
    with pytest.raises(StoreError, match=f"expected {digest}"):
        fetch(URL, tmp_path / "copy")
    assert not (tmp_path / "copy").exists() and not parts(tmp_path)


@pytest.mark.parametrize(
    ("settings", "url", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, URL, "the server refused the credentials"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, URL, "the server refused the credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, URL, "can't reach the server"),
        ({}, "s3://nowhere/model.pth", "s3://nowhere: no such bucket"),
        ({}, "s3://models/nope.pth", "s3://models/nope.pth: no such object"),
    ],
)
def test_each_mistake_is_an_error_with_a_way_out(s3, monkeypatch, tmp_path, settings, url, message):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for attempt in (lambda: fetch(url, tmp_path), lambda: list_files(url)):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert message in caught.value.message and caught.value.hint
    assert not list(tmp_path.iterdir())


def test_without_credentials_the_error_names_the_variables(s3, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match="no credentials") as caught:
        fetch(URL, tmp_path)
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_the_commands(s3, model, tmp_path):
    def run(*arguments):
        done = modelyard(*arguments, cwd=tmp_path)
        said, complained = done.communicate(timeout=60)
        return done.returncode, said, complained

    assert run("push", "model.pth", "s3://models/income/")[:2] == (0, f"{URL}\n")
    code, said, _ = run("ls", "s3://models", "--json")
    assert code == 0 and [file["url"] for file in json.loads(said)] == [URL]
    assert run("pull", URL, "mainModel.pth")[:2] == (0, f"{tmp_path / 'mainModel.pth'}\n")
    assert run("rm", URL)[0] == 0
    code, _, complained = run("pull", URL, "mainModel.pth")
    assert code == 9 and "no such object" in complained and "hint:" in complained and "testing" not in complained
    assert (tmp_path / "mainModel.pth").read_bytes() == model.read_bytes()
