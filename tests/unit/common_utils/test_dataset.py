import pytest

from common_utils.dataset import describe_dataset, digest_recipe, write_dataset


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / "data" / "train.csv", tmp_path / "data" / "test.csv"]
    for path in paths:
        write_dataset(path, ["a"], [[1]], source="somewhere", recipe="r1")
    return paths


def test_a_dataset_says_where_it_came_from(paths):
    assert describe_dataset(paths, recipe="r1") == {"source": "somewhere", "synthetic": False}


def test_the_origin_is_known_whatever_made_it(paths):
    assert describe_dataset(paths) == {"source": "somewhere", "synthetic": False}


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("a\n2\n"),
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: write_dataset(path, ["a"], [[1]], source="elsewhere", recipe="r1"),
        lambda path: write_dataset(path, ["a"], [[1]], source="somewhere", recipe="r1", synthetic=True),
        lambda path: write_dataset(path, ["a"], [[1]], source="somewhere", recipe="r2"),
    ],
)
def test_a_dataset_that_changed_is_not_current(paths, change):
    change(paths[1])
    assert describe_dataset(paths, recipe="r1") is None


def test_changed_code_is_another_recipe(tmp_path):
    script = tmp_path / "make_data.py"
    script.write_text("1")
    first = digest_recipe(script)
    assert digest_recipe(script) == first
    script.write_text("2")
    assert digest_recipe(script) != first
