"""The S3 store against moto, and what it says when the server says no."""

import sys

import pytest

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed here: pip install 'modelyard[s3]'")
moto = pytest.importorskip("moto", reason="moto is not installed here: pip install 'modelyard[dev]'")

from botocore.exceptions import (  # noqa: E402
    ClientError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
)

from modelyard.cli.console import Console  # noqa: E402
from modelyard.commands.datasets import DataSetRequest, create_dataset  # noqa: E402
from modelyard.errors import StoreError  # noqa: E402
from modelyard.store.protocols import ChangedFileError, Entry, InterruptedTransferError  # noqa: E402
from modelyard.store.s3 import S3Store  # noqa: E402
from modelyard.store.transfer import fetch, list_files, push, remove  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore", "ignore::DeprecationWarning:moto")


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        boto3.client("s3").create_bucket(Bucket="models")
        yield S3Store("models")


def test_there_and_back(bucket, tmp_path):
    path = tmp_path / "rf.ubj"
    path.write_bytes(b"x" * 300_000)
    seen = []
    assert push(path, "s3://models/income/", progress=lambda *args: seen.append(args)) == "s3://models/income/rf.ubj"
    assert seen[-1] == (300_000, 300_000)
    assert fetch("s3://models/income/rf.ubj", tmp_path / "copy").read_bytes() == path.read_bytes()
    assert [str(address) for address, _ in list_files("s3://models/income")] == ["s3://models/income/rf.ubj"]
    assert remove("s3://models/income/rf.ubj") == ["s3://models/income/rf.ubj"]
    assert list_files("s3://models/") == []


def test_a_large_file_keeps_its_digest(bucket, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(20_000_000))  # sent in parts
    push(path, "s3://models/large")
    assert len(bucket.stat("large").sha256) == 64


def test_a_damaged_object_is_refused(bucket, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"right")
    push(path, "s3://models/a")
    boto3.client("s3").put_object(Bucket="models", Key="a", Body=b"wrong", Metadata={"sha256": bucket.stat("a").sha256})
    with pytest.raises(StoreError, match=r"sha256 .* expected"):
        fetch("s3://models/a", tmp_path / "b")


def test_a_folder_is_not_what_only_begins_like_it(bucket, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"a")
    for url in ("s3://models/x/a", "s3://models/xy"):
        push(path, url)
    assert [entry.key for _, entry in list_files("s3://models/x")] == ["x/a"]


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("s3://models/income/nope", "s3://models/income/nope: no such object", "modelyard store ls s3://models/income"),
        ("s3://other/a", "s3://other: no such bucket", "AWS_ENDPOINT_URL"),
    ],
)
def test_what_is_not_there_is_named(bucket, tmp_path, url, message, hint):
    with pytest.raises(StoreError) as caught:
        fetch(url, tmp_path)
    assert caught.value.message == message and hint in caught.value.hint
    with pytest.raises(StoreError):
        list_files(url)


def test_an_object_that_was_replaced_is_not_mixed_with_the_old_one(bucket, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    push(path, "s3://models/a")
    entry = bucket.stat("a")
    path.write_bytes(b"new")
    push(path, "s3://models/a")
    with pytest.raises(ChangedFileError):
        list(bucket.read(entry, start=1))


def refusal(code):
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "HeadObject")


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (refusal("403"), "the server refused the credentials (403)", "AWS_SECRET_ACCESS_KEY"),
        (refusal("SignatureDoesNotMatch"), "the server refused the credentials (SignatureDoesNotMatch)", "AWS_PROFILE"),
        (refusal("SlowDown"), "the server answered SlowDown No.", "later"),
        (NoCredentialsError(), "no credentials", "AWS_ACCESS_KEY_ID"),
        (EndpointConnectionError(endpoint_url="http://s3.example"), "can't reach the server", "AWS_ENDPOINT_URL"),
    ],
)
def test_each_refusal_says_what_to_do(bucket, monkeypatch, error, message, hint):
    def refuse(**_):
        raise error

    monkeypatch.setattr(bucket._client, "head_object", refuse)
    with pytest.raises(StoreError) as caught:
        bucket.stat("a")
    assert f"s3://models/a: {message}" in caught.value.message and hint in caught.value.hint


@pytest.mark.parametrize("breaks", [True, False])
def test_a_body_that_stops_short_is_an_interruption(bucket, monkeypatch, breaks):
    chunks = [b"12", b"34"]

    class Body:
        def read(self, size):
            if chunks:
                return chunks.pop(0)
            if breaks:
                raise IncompleteReadError(actual_bytes=4, expected_bytes=9)
            return b""

        def close(self):
            pass

    monkeypatch.setattr(bucket._client, "get_object", lambda **_: {"Body": Body()})
    got = []
    with pytest.raises(InterruptedTransferError, match="cut off after 4 of 9 bytes"):
        got.extend(bucket.read(Entry(key="a", size=9, modified=0.0), start=0))
    assert got == [b"12", b"34"]


def test_without_boto3_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "modelyard.store.s3")
    with pytest.raises(StoreError, match="boto3") as caught:
        fetch("s3://models/a", tmp_path)
    assert caught.value.hint == "pip install 'modelyard[s3]'"


def test_a_data_set_is_made_of_files_in_a_bucket(bucket, tmp_path):
    numpy = pytest.importorskip("numpy")
    sources = {}
    for part, size in (("train", 6), ("test", 3)):
        for kind, shape in (("data", (size, 2)), ("labels", (size,))):
            numpy.save(tmp_path / "array.npy", numpy.ones(shape))
            sources[f"{part}-{kind}"] = push(tmp_path / "array.npy", f"s3://models/arrays/{part}-{kind}.npy")
    request = DataSetRequest(name="ones", folder=tmp_path / "data", sources=sources, start=tmp_path)
    made = create_dataset(request, Console())
    assert numpy.load(made.path / "train-data.npy").tolist() == [[1, 1]] * 6
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ones"]
    sources["test-labels"] = "s3://models/arrays/none.npy"
    request = DataSetRequest(name="more", folder=tmp_path / "data", sources=sources, start=tmp_path)
    with pytest.raises(StoreError, match=r"arrays/none.npy"):
        create_dataset(request, Console())
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ones"]
