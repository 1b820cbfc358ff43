"""One grammar for where a file lies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import InputError
from modelyard.store.address import Address, parse_address

buckets = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{1,30}", fullmatch=True)
parts = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1)
keys = st.lists(parts.filter(lambda part: part != ".."), max_size=4).map("/".join)


@given(bucket=buckets, key=keys)
def test_an_address_reads_back_as_it_was_written(bucket, key):
    address = Address(key=key, bucket=bucket)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3://", "no name of a bucket"),
        ("s3:///key", "no name of a bucket"),
        ("s3://b/key", "no name of a bucket"),
        ("s3://user:secret@models/key", "no name of a bucket"),
        ("s3://models//key", "is no key"),
        ("s3://models/a/../b", "is no key"),
        ("gs://models/key", "no store for gs://"),
        ("https://models/key", "no store for https://"),
        ("s3:/models/key", "has no '//' after s3:"),
        ("", "is no path"),
    ],
)
def test_a_bad_address_is_an_error_that_shows_it(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_address(text)
    assert repr(text) in caught.value.message and caught.value.hint


def test_a_relative_path_starts_at_the_base(tmp_path):
    assert parse_address("models/rf.json", base=tmp_path).path == tmp_path / "models" / "rf.json"
    assert parse_address("models/", base=tmp_path).is_folder


def test_a_folder_that_is_there_is_one_without_its_slash(tmp_path):
    assert parse_address(str(tmp_path)).is_folder
    assert parse_address(str(tmp_path)).below("a.json").path == tmp_path / "a.json"


def test_what_lies_below():
    assert str(parse_address("s3://models").below("a")) == "s3://models/a"
    assert str(parse_address("s3://models/x").below("a")) == str(parse_address("s3://models/x/").below("a"))
    assert parse_address("s3://models/x/a.pth").name == "a.pth"
    assert Path(parse_address("/a/b/").key).name == "b"
