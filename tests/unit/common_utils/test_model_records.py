"""metaData-models.json: no entry is lost, whoever writes at the same time and whatever fails."""

import json

import pytest

from common_utils.model_records import MAIN, RECORDS, add_model, expected_digest, find_model, make_main, read_records
from utils.errors import ModelBinaryError


def add(folder, name, **more):
    return add_model(folder, {"id": name, "file": f"modelFile-{name}.pth", **more}, name.encode())


def test_a_model_whose_entry_cannot_be_written_leaves_no_file(tmp_path):
    (tmp_path / RECORDS).write_text("{ no json")
    with pytest.raises(ModelBinaryError, match="no list of saved models"):
        add(tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == [RECORDS]


def test_an_entry_that_json_cannot_hold_leaves_everything_as_it_was(tmp_path):
    add(tmp_path, "a")
    before = (tmp_path / RECORDS).read_bytes()
    with pytest.raises(ValueError):
        add(tmp_path, "b", loss=float("nan"))
    assert (tmp_path / RECORDS).read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_a_model_is_found_by_id_file_path_or_as_the_latest(tmp_path):
    first, second = add(tmp_path, "a"), add(tmp_path, "b")
    assert find_model(tmp_path) == second
    assert find_model(tmp_path, "a") == find_model(tmp_path, first.name) == find_model(tmp_path, str(first)) == first


def test_a_file_without_an_entry_is_found_by_its_name(tmp_path):
    (tmp_path / "mainModel.pth").write_bytes(b"")
    assert find_model(tmp_path, "mainModel.pth") == tmp_path / "mainModel.pth"


def test_the_main_model_is_replaced_by_another_and_by_itself(tmp_path):
    (tmp_path / MAIN).write_bytes(b"former")
    path = add(tmp_path, "a")
    make_main(tmp_path, path)
    make_main(tmp_path, find_model(tmp_path, MAIN))
    assert (tmp_path / MAIN).read_bytes() == path.read_bytes() and not list(tmp_path.glob(".*"))


def test_an_unknown_model_is_named_with_those_there_are(tmp_path):
    add(tmp_path, "a")
    with pytest.raises(ModelBinaryError, match=r"no saved model 'nope' \(the newest: a\)"):
        find_model(tmp_path, "nope")
    with pytest.raises(ModelBinaryError, match=r"no saved model 'latest' \(the newest: none\)"):
        find_model(tmp_path / "empty")


@pytest.mark.parametrize("content", ["[]", "{}", '{"models": [{"id": "a"}]}', '{"models": 3}', ""])
def test_a_file_that_is_no_list_of_models_is_an_error(tmp_path, content):
    (tmp_path / RECORDS).write_text(content)
    with pytest.raises(ModelBinaryError, match=RECORDS):
        read_records(tmp_path)


def test_the_digest_of_an_entry(tmp_path):
    path = add(tmp_path, "a", sha256="00")
    assert expected_digest(path) == "00" and expected_digest(tmp_path / "other") is None


def test_the_file_is_plain_json(tmp_path):
    add(tmp_path, "a")
    assert json.loads((tmp_path / RECORDS).read_text()) == {
        "schema": 1,
        "models": [{"id": "a", "file": "modelFile-a.pth"}],
    }
