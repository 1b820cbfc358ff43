"""The files of an image, of its layers: what each removes, and where links lead."""

import gzip

import pytest

from modelyard.errors import EngineError
from modelyard.images.listing import Listing, read_content, read_listing
from modelyard.images.tree import Tree, merge
from tests.base_images import file, folder, link, pack_layer


@pytest.fixture
def tree_of(tmp_path):
    def make(*layers) -> Tree:
        listings = []
        for number, members in enumerate(layers):
            path = tmp_path / f"{number}.tar"
            path.write_bytes(pack_layer(*members))
            listings.append((str(number), read_listing(path, "a layer")))
        return merge(listings)

    return make


def paths(tree: Tree) -> list[str]:
    return [found.path for found in tree.walk()]


def test_a_layer_removes_what_is_below_it(tree_of):
    tree = tree_of(
        [folder("a"), file("a/one"), file("a/two"), file("b/c/deep")],
        [file("a/.wh.one"), file(".wh.b")],
    )
    assert paths(tree) == ["/a", "/a/two"]


def test_an_opaque_folder_hides_what_is_below_and_not_what_its_own_layer_puts_there(tree_of):
    tree = tree_of([file("a/one"), file("a/b/two")], [file("a/new"), file("a/.wh..wh..opq")])
    assert paths(tree) == ["/a", "/a/new"]


def test_a_file_can_come_back_in_the_layer_that_removes_it(tree_of):
    assert paths(tree_of([file("a/x/y")], [file("a/x"), file("a/.wh.x")])) == ["/a", "/a/x"]


def test_a_file_takes_the_place_of_a_folder_and_the_other_way_round(tree_of):
    assert paths(tree_of([file("a/x")], [file("a")], [file("a/y")])) == ["/a", "/a/y"]


def test_links_lead_where_they_would_in_the_image(tree_of):
    tree = tree_of(
        [
            file("usr/bin/python3.11", b"x"),
            link("bin", "usr/bin"),
            link("usr/bin/python3", "python3.11"),
            link("usr/local/bin/python", "../../../bin/python3"),
            link("etc/python", "/usr/local/bin/python"),
            link("out", "../../../../usr"),
        ]
    )
    for path in ("/bin/python3", "/usr/local/bin/python", "/etc/python", "/out/bin/python3", "bin/../bin/python3"):
        assert tree.find(path).path == "/usr/bin/python3.11", path
    assert tree.look("/bin/python3").member.target == "python3.11"
    assert tree.resolve("/bin/new/file") == "/usr/bin/new/file"


def test_a_circle_of_links_leads_nowhere(tree_of):
    tree = tree_of([link("a", "b"), link("b", "a"), link("c", "c/d")])
    assert [tree.find(path) for path in ("/a", "/b/x", "/c")] == [None, None, None]


def test_files_of_a_layer_come_to_lie_behind_the_links_of_those_below(tree_of):
    tree = tree_of([folder("usr/lib"), link("lib", "usr/lib")], [file("lib/x.so")], [file("lib/.wh.x.so")])
    assert paths(tree) == ["/lib", "/usr", "/usr/lib"]


def test_a_hard_link_is_the_file_it_was_made_of(tree_of, tmp_path):
    tree = tree_of([file("a/one", b"content", mode=0o755)], [link("two", "a/one", hard=True)], [file("a/.wh.one")])
    found = tree.find("/two")
    assert (found.member.kind, found.member.mode, found.layer) == ("file", 0o755, "0")
    assert read_content(tmp_path / "0.tar", "a layer", found.member) == b"content"


def test_a_hard_link_to_nothing_is_an_error(tree_of):
    with pytest.raises(EngineError, match="links two to one, which it does not hold"):
        tree_of([link("two", "one", hard=True)])


@pytest.mark.parametrize("name", ["../etc/passwd", "a/../../b"])
def test_a_member_that_leaves_the_image_is_an_error(tree_of, name):
    with pytest.raises(EngineError, match="leaves the folder"):
        tree_of([file(name)])


def test_a_listing_is_kept_as_it_was(tmp_path):
    path = tmp_path / "layer"
    path.write_bytes(gzip.compress(pack_layer(folder("a"), file("a/x", b"12", uid=7), link("l", "a/x"))))
    listing = read_listing(path, "a layer")
    assert Listing.from_json(listing.to_json()) == listing
    assert read_content(path, "a layer", listing.members[1]) == b"12"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no archive at all", "is neither gzip nor tar"),
        (gzip.compress(b"no archive either"), "is not all of a gzip"),
        (gzip.compress(pack_layer(file("x", bytes(9999))))[:-20], "is not all of a gzip"),
        (b"\x28\xb5\x2f\xfd...", "is compressed with zstd"),
    ],
    ids=["text", "no tar", "cut off", "zstd"],
)
def test_a_broken_layer_is_called_by_its_name(tmp_path, content, said):
    path = tmp_path / "layer"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=f"the layer L {said}"):
        read_listing(path, "the layer L")
