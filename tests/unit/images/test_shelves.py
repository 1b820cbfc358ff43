"""Which packages share a layer, in which order, and what finds a layer again."""

from dataclasses import replace

import pytest

from modelyard.images.distributions import Distribution
from modelyard.images.shelves import LARGE, MOST, Shelf, arrange, chain_keys, count_shared


def package(name: str, version: str = "1.0", *, size: int = 10) -> Distribution:
    return Distribution(
        name=name,
        version=version,
        record_file=f"lib/python3.11/site-packages/{name}-{version}.dist-info/RECORD",
        files=(f"lib/python3.11/site-packages/{name}.py", f"bin/{name}"),
        record=b"",
        size=size,
        digest=f"{name} {version}",
    )


FOUND = [package(name) for name in ("idna", "numpy", "pandas", "scipy", "six")]


class TestOrder:
    def test_an_environment_then_frameworks_then_other_large_ones_then_the_small_ones_together(self):
        found = [*FOUND, package("zlarge", size=LARGE), package("alarge", size=LARGE)]
        assert [shelf.title for shelf in arrange({"default": found})] == [
            "environment: default",
            "requirements: numpy 1.0",
            "requirements: scipy 1.0",
            "requirements: pandas 1.0",
            "requirements: alarge 1.0",
            "requirements: zlarge 1.0",
            "requirements: idna 1.0, six 1.0",
        ]

    def test_groups_follow_and_are_named(self):
        titles = [shelf.title for shelf in arrange({"default": [], "old": [package("numpy", "1.26.4")]})]
        assert titles == ["environment: default", "environment: old", "requirements of old: numpy 1.26.4"]

    def test_an_environment_is_one_layer_where_there_would_be_too_many(self):
        many = [package(f"p{number}", size=LARGE) for number in range(MOST)]
        shelves = arrange({"default": many, "old": []})
        assert [len(shelf.distributions) for shelf in shelves] == [0, MOST, 0]

    def test_modules_of_a_shelf_are_files_of_packages_and_no_scripts(self):
        shelf = Shelf("old", (package("six"),))
        assert list(shelf.modules) == ["old/lib/python3.11/site-packages/six.py"]


class TestKeys:
    def test_what_is_below_decides_and_what_is_above_does_not(self):
        before = chain_keys(["base"], arrange({"default": FOUND}))
        after = chain_keys(["base"], arrange({"default": [*FOUND, package("wheel")]}))
        assert count_shared(before, after) == len(before) - 1 == 4
        assert count_shared(before, chain_keys(["other"], arrange({"default": FOUND}))) == 0

    def test_another_content_of_the_same_version_is_another_layer_and_all_above_it(self):
        changed = [replace(each, digest="x") if each.name == "scipy" else each for each in FOUND]
        shared = count_shared(
            chain_keys(["base"], arrange({"default": FOUND})), chain_keys(["base"], arrange({"default": changed}))
        )
        assert shared == 2

    @pytest.mark.parametrize(("others", "count"), [([], 0), (["a"], 1), (["x", "b"], 0), (["a", "b", "c"], 2)])
    def test_shared_layers_are_counted_from_the_bottom(self, others, count):
        assert count_shared(["a", "b"], others) == count
