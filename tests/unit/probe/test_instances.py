"""test_instances.json: read, or named with line and column."""

import pytest

from modelyard.errors import InputError
from modelyard.probe.instances import read_instances
from modelyard.workspace import ModelDirectory


@pytest.fixture
def model(tmp_path):
    (tmp_path / "test").mkdir()
    return ModelDirectory(tmp_path)


def write(model: ModelDirectory, content: bytes) -> None:
    (model.path / "test" / "test_instances.json").write_bytes(content)


def test_what_is_there_is_read_as_it_is(model):
    write(model, b'\xef\xbb\xbf{"instances": [[1, null]]}')
    assert read_instances(model) == {"instances": [[1, None]]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "test_instances.json: empty"),
        (b" \n", "test_instances.json: empty"),
        (b'{"instances":\n [[1, 2', "test_instances.json:2:8: the JSON ends too early"),
        (b'{"instances": "abc', "the JSON ends too early"),
        (b"{'instances': []}", "test_instances.json:1:2: no JSON: Expecting property name"),
        (b'{"a": 1}\n{"b": 2}', "test_instances.json:2:1: no JSON: Extra data"),
        (b'{"a": NaN}', "test_instances.json: holds NaN"),
        (b"\xff", "not UTF-8 text"),
        (b"[" * 100_000 + b"]" * 100_000, "test_instances.json: nested too deeply"),
    ],
)
def test_what_is_no_json_is_named_with_its_place(model, content, message):
    write(model, content)
    with pytest.raises(InputError) as caught:
        read_instances(model)
    assert message in caught.value.message and caught.value.hint


def test_a_missing_file_says_what_belongs_there(model):
    with pytest.raises(InputError, match="no such file") as caught:
        read_instances(model)
    assert "instances" in caught.value.hint
