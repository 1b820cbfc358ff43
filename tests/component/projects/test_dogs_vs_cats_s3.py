"""The download and the upload of projects/dogs_vs_cats with a bucket, which moto has in this process."""

from pathlib import Path
from types import SimpleNamespace

import pytest

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed here: pip install 'modelyard[s3]'")
moto = pytest.importorskip("moto", reason="moto is not installed here")

from dogs_vs_cats.classifier.download import download  # noqa: E402
from dogs_vs_cats.common_utils.buckets import BucketError, S3Bucket  # noqa: E402
from dogs_vs_cats.common_utils.tables import read_listed, write_rows  # noqa: E402

COUNT = 60
NAMES = ["bucket", "s3_image", "category", "label"]
DATA = {"download_data": True, "remote_download_path": "bucket", "parallel": 8, "missing_pct": 0.0}
REGION = "us-east-1"


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """A bucket of sixty objects, and a table of them in data/; keys come by the SDK's own chain."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    rows = [(f"pets/{number}.jpg", ("cat", "dog")[number % 2], number % 2) for number in range(COUNT)]
    (tmp_path / "data").mkdir()
    lines = [dict(zip(NAMES, ("pictures", *row), strict=True)) for row in rows]
    write_rows(tmp_path / "data" / "s3_images.csv", NAMES, lines)
    with moto.mock_aws():
        client = boto3.client("s3", region_name=REGION)
        client.create_bucket(Bucket="pictures")
        for key, *_ in rows:
            client.put_object(Bucket="pictures", Key=key, Body=f"picture {key}".encode())
        yield client


def run(folder: Path, **changes):
    aws = {"bucket_name": "pictures", "aws_default_region": REGION, **changes}
    params = {"csv": {"s3_images_csv": "s3_images.csv"}, "data": DATA, "aws": aws}
    payload = {
        "params": params,
        "inputs": {"data": str(folder / "data")},
        "outputs": {"images": str(folder / "images")},
    }
    return download(SimpleNamespace(payload=payload))


def test_a_download_interrupted_at_half_only_the_rest_is_fetched(bucket, tmp_path, monkeypatch):
    fetched: list[str] = []
    fetch = S3Bucket.fetch

    def fetch_until_half(self, key, path):
        if len(fetched) >= COUNT // 2:
            raise KeyboardInterrupt
        fetched.append(key)
        fetch(self, key, path)

    monkeypatch.setattr(S3Bucket, "fetch", fetch_until_half)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    there = [path for path in (tmp_path / "images" / "files").rglob("*.jpg") if not path.name.startswith(".")]
    assert len(there) >= COUNT // 2 - DATA["parallel"]

    again: list[str] = []

    def fetch_and_note(self, key, path):
        again.append(key)
        fetch(self, key, path)

    monkeypatch.setattr(S3Bucket, "fetch", fetch_and_note)
    metrics = run(tmp_path)["metrics"]
    assert len(again) == metrics["fetched"] == COUNT - len(there) and metrics["there"] == len(there)
    assert not {str(path.relative_to(tmp_path / "images" / "files")) for path in there} & set(again)
    rows = read_listed(tmp_path / "images" / "images.csv")
    assert len(rows) == COUNT
    assert all((tmp_path / "images" / row.local_image).read_text() == f"picture {row.s3_image}" for row in rows)


def test_an_object_that_is_not_there_is_listed(bucket, tmp_path):
    bucket.delete_object(Bucket="pictures", Key="pets/7.jpg")
    with pytest.raises(ValueError, match=r"1 of 60 pictures are missing.*pets/7\.jpg"):
        run(tmp_path)


def test_no_such_bucket_is_said_before_anything_is_fetched(bucket, tmp_path):
    with pytest.raises(BucketError, match=r"bucket 'other' \(aws.bucket_name\): no such bucket"):
        run(tmp_path, bucket_name="other")


def test_without_credentials_it_says_so(bucket, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(BucketError, match=r"bucket 'pictures'.*credentials"):
        run(tmp_path)


def test_results_are_stored_below_their_path(bucket, tmp_path):
    (tmp_path / "results.csv").write_text("a\n1\n")
    place = S3Bucket("pictures", region=REGION).store(tmp_path / "results.csv", "dogs_vs_cats/results/results.csv")
    assert place == "s3://pictures/dogs_vs_cats/results/results.csv"
    stored = bucket.get_object(Bucket="pictures", Key="dogs_vs_cats/results/results.csv")
    assert stored["Body"].read() == b"a\n1\n"
