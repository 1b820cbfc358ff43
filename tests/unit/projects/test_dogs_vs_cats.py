"""projects/dogs_vs_cats without torch or pillow: tables, the split, settings, requests, download from a folder."""

import base64
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogs_vs_cats.classifier import download as step
from dogs_vs_cats.common_utils.buckets import FolderBucket, MissingError
from dogs_vs_cats.common_utils.payload import EXPECTED, read_sent
from dogs_vs_cats.common_utils.settings import read_number, refuse_keys
from dogs_vs_cats.common_utils.split import SPLITS, choose_split, read_shares
from dogs_vs_cats.common_utils.tables import TableError, check_same_names, read_listed, write_rows

ROOT = Path(__file__).parents[3]
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
SEED = 463062
DATA = {"download_data": True, "remote_download_path": "bucket", "parallel": 4, "missing_pct": 0.0}
NAMES = ["bucket", "s3_image", "category", "label"]


@pytest.fixture
def data(tmp_path):
    """A data folder: a table of six pictures, and the folder that stands for its bucket."""
    rows = [
        (f"pets/{name}.{number}.jpg", name, label) for number in range(3) for label, name in enumerate(("cat", "dog"))
    ]
    for path, name, _ in rows:
        target = tmp_path / "data" / "bucket" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(f"{name} {path}".encode())
    write_table(tmp_path / "data" / "s3_images.csv", rows)
    return tmp_path / "data"


def write_table(path, rows, names=NAMES):
    write_rows(path, names, [dict(zip(names, ("b", *row), strict=True)) for row in rows])


def run(data, images, *, aws=None, **changes):
    params = {"csv": {"s3_images_csv": "s3_images.csv"}, "data": {**DATA, **changes}, "aws": aws or {}}
    payload = {"params": params, "inputs": {"data": str(data)}, "outputs": {"images": str(images)}}
    return step.download(SimpleNamespace(payload=payload))


def test_the_table_comes_back_with_where_each_picture_lies(data, tmp_path):
    result = run(data, tmp_path / "images")
    rows = read_listed(tmp_path / "images" / "images.csv")
    assert [row.local_image for row in rows] == [f"files/{row.s3_image}" for row in rows]
    assert all((tmp_path / "images" / row.local_image).read_bytes().endswith(row.s3_image.encode()) for row in rows)
    assert result["labels"] == ["cat", "dog"]
    assert result["metrics"]["fetched"] == result["metrics"]["pictures"] == 6


def test_labels_come_from_the_table_and_not_from_the_names_of_folders(tmp_path):
    rows = [("dog/1.jpg", "cat", 0), ("cat/2.jpg", "dog", 1)]
    write_table(tmp_path / "t.csv", rows)
    assert [(row.category, row.label) for row in read_listed(tmp_path / "t.csv")] == [("cat", 0), ("dog", 1)]


def test_only_what_is_not_there_in_its_whole_length_is_fetched(data, tmp_path, monkeypatch):
    run(data, tmp_path / "images")
    (tmp_path / "images" / "files" / "pets" / "cat.0.jpg").unlink()
    (tmp_path / "images" / "files" / "pets" / "dog.1.jpg").write_bytes(b"cut o")
    fetched = []
    monkeypatch.setattr(FolderBucket, "fetch", spy(FolderBucket.fetch, fetched))
    metrics = run(data, tmp_path / "images")["metrics"]
    assert sorted(fetched) == ["pets/cat.0.jpg", "pets/dog.1.jpg"]
    assert (metrics["fetched"], metrics["there"]) == (2, 4)


def spy(fetch, seen):
    def fetch_and_note(self, key, path):
        seen.append(key)
        return fetch(self, key, path)

    return fetch_and_note


def test_a_download_that_is_cut_off_leaves_no_file_of_that_name(data, tmp_path, monkeypatch):
    monkeypatch.setattr(FolderBucket, "fetch", lambda self, key, path: path.write_bytes(b"half"))
    with pytest.raises(OSError, match="4 bytes came, it has"):
        run(data, tmp_path / "images")
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


def test_missing_pictures_are_listed_and_allowed_up_to_a_share(data, tmp_path, capsys):
    (data / "bucket" / "pets" / "dog.2.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 6 pictures are missing, more than data.missing_pct 0.1 .*dog\.2\.jpg"):
        run(data, tmp_path / "images", missing_pct=0.1)
    assert run(data, tmp_path / "images", missing_pct=0.2)["metrics"]["missing"] == 1
    assert "missing: pets/dog.2.jpg" in capsys.readouterr().out
    assert (tmp_path / "images" / "missing.csv").read_text() == "s3_image\npets/dog.2.jpg\n"
    assert len(read_listed(tmp_path / "images" / "images.csv")) == 5


def test_without_downloading_the_paths_that_are_there_are_taken(data, tmp_path):
    names = [*NAMES, "local_image"]
    rows = read_listed(data / "s3_images.csv")
    lines = [(row.s3_image, row.category, row.label, f"bucket/{row.s3_image}") for row in rows]
    write_table(data / "s3_images.csv", lines, names)
    assert run(data, tmp_path / "images", download_data=False)["metrics"]["there"] == 6
    write_table(data / "s3_images.csv", [*lines, ("x.jpg", "cat", 0, "../../etc/passwd")], names)
    with pytest.raises(TableError, match="not in the data folder"):
        run(data, tmp_path / "images", download_data=False)
    write_table(data / "s3_images.csv", [line[:3] for line in lines])
    with pytest.raises(TableError, match="has no local_image"):
        run(data, tmp_path / "images", download_data=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bucket,image,category,label\nb,a.jpg,cat,0\n", r"no column s3_image \(columns here: bucket, image"),
        ("bucket,s3_image,category,label\nb,a.jpg,cat,0\nb,a.jpg,cat,0\n", "a.jpg is there twice$"),
        ("bucket,s3_image,category,label\nb,a.jpg,cat,0\nb,a.jpg,dog,1\n", "twice, with labels 0 and 1"),
        ("bucket,s3_image,category,label\nb,a.jpg,cat,zero\n", "line 2: label 'zero' is no whole number"),
        ("bucket,s3_image,category,label\nb,../a.jpg,cat,0\n", "line 2: s3_image '../a.jpg' is no path below"),
        ("bucket,s3_image,category,label\nb,/etc/passwd,cat,0\n", "is no path below a bucket"),
        ("bucket,s3_image,category,label\n", "no pictures in it"),
        ("", "columns here: none"),
        ("bucket,s3_image,category,label\nb,\xff,cat,0\n", "no CSV of UTF-8"),
    ],
)
def test_a_table_that_is_none_is_an_error_with_file_line_and_value(tmp_path, text, said):
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(TableError, match=said) as caught:
        read_listed(tmp_path / "t.csv")
    assert "t.csv" in str(caught.value)


def test_one_label_has_one_name(tmp_path):
    write_table(tmp_path / "t.csv", [("a.jpg", "cat", 0), ("b.jpg", "dog", 0)])
    with pytest.raises(TableError, match=r"label 0 is 'cat', and 'dog' for b\.jpg"):
        check_same_names(read_listed(tmp_path / "t.csv"))
    write_table(tmp_path / "t.csv", [("a.jpg", "cat", 0), ("b.jpg", "dog", 2)])
    with pytest.raises(TableError, match="labels"):
        check_same_names(read_listed(tmp_path / "t.csv"))


@given(st.sets(st.text(min_size=1), min_size=2, max_size=50), st.integers(0, 9))
def test_a_picture_stays_in_its_part_whatever_others_come(names, seed):
    before = {name: choose_split(name, SHARES, seed=seed) for name in names}
    more = [*names, *(f"{name}/new" for name in names)]
    assert {name: choose_split(name, SHARES, seed=seed) for name in more if name in names} == before
    assert set(before.values()) <= set(SPLITS)


def test_the_split_is_seeded_and_of_about_the_shares_in_each_class():
    for kind in ("cat", "dog"):
        parts = [choose_split(f"{kind}.{number}.jpg", SHARES, seed=1) for number in range(5000)]
        assert [parts.count(part) / 5000 for part in SPLITS] == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
        assert parts != [choose_split(f"{kind}.{number}.jpg", SHARES, seed=2) for number in range(5000)]


def test_no_picture_falls_between_the_parts():
    shares = {"train": 1 / 3, "val": 1 / 3, "test": 1 / 3}
    parts = [choose_split(str(number), shares, seed=0) for number in range(1000)]
    assert sum(map(parts.count, SPLITS)) == 1000


@pytest.mark.skipif("MODELYARD_DATA" not in os.environ, reason="MODELYARD_DATA, with the photographs, is not set")
def test_the_photographs_are_split_600_200_200_by_the_seed_of_the_defaults():
    table = Path(os.environ["MODELYARD_DATA"]) / "dogs_vs_cats" / "s3_images_sample.csv"
    if not table.is_file():
        pytest.skip(f"{table} is not there")
    for label in (0, 1):
        parts = [choose_split(row.s3_image, SHARES, seed=SEED) for row in read_listed(table) if row.label == label]
        assert [parts.count(part) for part in SPLITS] == [300, 100, 100]


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.6, 0.3, 0.2), r"0.6 \+ 0.3 \+ 0.2 = 1.1, expected 1"),
        ((0.6, 0.4, 0.0), "data.test_pct is 0.0, expected a number between 0 and 1"),
        ((0.6, "0.2", 0.2), "data.val_pct is '0.2'"),
        ((1.4, -0.2, -0.2), "data.train_pct is 1.4"),
        ((0.6, None, 0.2), "data.val_pct is None"),
    ],
)
def test_shares_that_don_t_add_up_are_an_error(shares, said):
    with pytest.raises(ValueError, match=said):
        read_shares(dict(zip(("train_pct", "val_pct", "test_pct"), shares, strict=True)))


@pytest.mark.parametrize("name", ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"])
def test_a_configuration_that_holds_a_key_is_refused_before_anything_else(data, tmp_path, name):
    with pytest.raises(ValueError, match=rf"aws.{name} is set.*AWS_ACCESS_KEY_ID") as caught:
        run(data, tmp_path / "images", aws={name: "AKIAVERYSECRET"})
    assert "AKIAVERYSECRET" not in str(caught.value)
    assert not (tmp_path / "images").exists()
    refuse_keys({name: "", "bucket_name": "b"})


def test_the_defaults_hold_no_key():
    text = (ROOT / "projects" / "dogs_vs_cats" / "config-default.yaml").read_text()
    assert not re.search(r"access_key|secret|token|AKIA", text)


@pytest.mark.parametrize(
    ("value", "said"), [([], "expected one number"), ([1, 2], "a search takes one"), (0, "from 1 on"), ("x", "'x'")]
)
def test_a_parameter_that_is_none_is_named(value, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_number({"epochs": value}, "train.epochs")
    assert "train.epochs" in str(caught.value)
    assert read_number({"epochs": [3]}, "train.epochs") == 3


def test_a_folder_stands_for_a_bucket(tmp_path):
    bucket = FolderBucket(tmp_path)
    (tmp_path / "a").write_bytes(b"abc")
    assert bucket.store(tmp_path / "a", "deep/b") == str(tmp_path / "deep" / "b")
    assert bucket.size("deep/b") == 3
    for ask in (lambda: bucket.size("c"), lambda: bucket.fetch("c", tmp_path / "x"), lambda: bucket.size("a/b")):
        with pytest.raises(MissingError):
            ask()


ENCODED = base64.b64encode(b"a picture").decode()


@pytest.mark.parametrize(
    "payload",
    [
        {"data": [{"path": "a.jpg", "encoded": ENCODED}]},
        {"data": [{"encoded": ENCODED, "path": "a.jpg"}]},
        json.dumps({"data": [{"path": "a.jpg", "encoded": ENCODED}]}),
        json.dumps(json.dumps({"data": [{"path": "a.jpg", "encoded": ENCODED}]})),
    ],
)
def test_a_request_in_every_form_that_clients_of_the_original_send(payload):
    (sent,) = read_sent(payload)
    assert (sent.path, sent.encoded, sent.content) == ("a.jpg", ENCODED, b"a picture")


def test_one_file_comes_as_forms_and_the_page_send_it():
    assert [(sent.path, sent.content) for sent in read_sent({"binData": ENCODED})] == [("file", b"a picture")]


@pytest.mark.parametrize(
    "payload",
    [{}, {"data": []}, {"data": {}}, {"data": ["a"]}, {"data": [{"path": "a"}]}, [], None, 3, "no JSON", '"'],
)
def test_a_request_that_is_none_says_what_is_expected(payload):
    with pytest.raises(ValueError, match=re.escape(EXPECTED)):
        read_sent(payload)


def test_two_pictures_of_one_path_are_refused():
    with pytest.raises(ValueError, match=r"two pictures have the path 'a.jpg'"):
        read_sent({"data": [{"path": "a.jpg", "encoded": ENCODED}] * 2})


def test_no_base64_is_named_by_its_path():
    (sent,) = read_sent({"data": [{"path": "a.jpg", "encoded": "?"}]})
    with pytest.raises(ValueError, match=r"a.jpg: no base64"):
        sent.content  # noqa: B018
