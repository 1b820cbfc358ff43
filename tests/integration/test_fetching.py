"""Models from S3 in a pod's init container: the standard library's client against a server that speaks S3."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed here: pip install 'modelyard[s3]'")
server = pytest.importorskip("moto.server", reason="moto is not installed here: pip install 'modelyard[dev]'")

from modelyard.runtime.fetching.s3 import Bucket  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore", "ignore::DeprecationWarning:moto")
REPOSITORY = Path(__file__).parents[2]
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    running = server.ThreadedMotoServer(port=0)
    running.start()
    _, port = running.get_host_and_port()
    without = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    endpoint = f"http://127.0.0.1:{port}"
    yield {**without, **KEYS, "AWS_ENDPOINT_URL": endpoint, "PYTHONPATH": str(REPOSITORY / "src"), "NO_PROXY": "*"}
    running.stop()


@pytest.fixture(scope="module")
def store(environ: dict[str, str]) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="models")
    return client


def run(environ: dict[str, str], *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "modelyard.runtime.fetching", *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def put_model(store: Any, name: str, content: bytes, *, digest: str | None = None) -> None:
    import hashlib

    manifest = {"file": f"{name}.ubj", "sha256": digest or hashlib.sha256(content).hexdigest()}
    store.put_object(Bucket="models", Key=f"income/{name}.json", Body=json.dumps(manifest).encode())
    store.put_object(Bucket="models", Key=f"income/{name}.ubj", Body=content)


def test_a_model_comes_with_its_manifest(environ, store, tmp_path):
    put_model(store, "rf", b"x" * 3_000_000)
    done = run(environ, "s3://models/income/rf", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["rf.json", "rf.ubj"]
    assert (tmp_path / "models/rf.ubj").read_bytes() == b"x" * 3_000_000


def test_a_folder_comes_as_a_whole_however_many_files_it_has(environ, store, tmp_path):
    for number in range(30):
        store.put_object(Bucket="models", Key=f"many/a b/ü{number}.bin", Body=b"%d" % number)
    store.put_object(Bucket="models", Key="many/.half.part", Body=b"")
    done = run(environ, "s3://models/many/", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "a b").iterdir()} == {
        f"ü{number}.bin": b"%d" % number for number in range(30)
    }
    assert not list(tmp_path.glob(".*"))


def test_a_plain_file_is_taken_as_it_is(environ, store, tmp_path):
    store.put_object(Bucket="models", Key="mnist/model.pkl", Body=b"weights")
    assert run(environ, "s3://models/mnist/model.pkl", tmp_path).returncode == 0
    assert (tmp_path / "model.pkl").read_bytes() == b"weights"


def test_what_is_damaged_gets_no_name(environ, store, tmp_path):
    put_model(store, "spoilt", b"other", digest="0" * 64)
    done = run(environ, "s3://models/income/spoilt", tmp_path)
    assert done.returncode == 9
    assert "s3://models/income/spoilt.ubj is damaged" in done.stderr
    assert not (tmp_path / "spoilt.ubj").exists() and not (tmp_path / "spoilt.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("s3://models/none/", "/tmp"), 9, "there is nothing"),
        (("s3://models/income/none", "/tmp"), 9, "answers 404"),
        (("s3://nobody/income/", "/tmp"), 9, "answers 404"),
        (("income/", "/tmp"), 3, "is no model in S3"),
        (("s3://models/income/",), 3, "takes an address and a folder"),
        (("s3://models/income/", "/proc/models"), 1, "/proc/models"),
    ],
)
def test_what_can_not_be_got_is_an_error_in_words(environ, store, arguments, code, said):
    done = run(environ, *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_named(environ, tmp_path):
    done = run({**environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://models/income/", tmp_path)
    assert done.returncode == 9
    assert "127.0.0.1:9 can't be reached" in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/models/income/rf.ubj",
        "http://s3.example/models/?list-type=2&prefix=a%20b%2F%C3%BC",
        "http://s3.example/models/a%20b/%C3%BC.bin",
    ],
)
@pytest.mark.parametrize("token", [None, "token"])
def test_requests_are_signed_as_the_sdk_signs_them(url, token):
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method="GET", url=url)
    S3SigV4Auth(Credentials("key", "secret", token), "s3", "us-east-1").add_auth(request)
    environ = {**KEYS, **({"AWS_SESSION_TOKEN": token} if token else {})}
    ours = Bucket("models", environ).sign("GET", url, request.headers["X-Amz-Date"])
    assert ours["Authorization"] == request.headers["Authorization"]


def test_who_names_nobody_signs_nothing():
    assert Bucket("models", {}).sign("GET", "http://a/b", "20260101T000000Z") == {}
