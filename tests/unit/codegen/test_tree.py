"""Generated trees: written only where something changed, whole or not at all, and compared as diffs."""

from pathlib import Path, PurePosixPath

import pytest

from modelyard.codegen.tree import GeneratedFile, GeneratedTree, check_tree, diff_tree, write_tree
from modelyard.errors import StaleError


def make_tree(root: Path, text: str = "one\n", *, executable: bool = False) -> GeneratedTree:
    file = GeneratedFile(text, executable=executable)
    return GeneratedTree(root=root, files={PurePosixPath("sub/a.txt"): file}, absent=(PurePosixPath("old"),))


def test_writing_says_what_changed_and_then_nothing(tmp_path):
    assert write_tree(make_tree(tmp_path)) == (tmp_path / "sub/a.txt",)
    before = (tmp_path / "sub/a.txt").stat().st_mtime_ns
    assert write_tree(make_tree(tmp_path)) == ()
    assert (tmp_path / "sub/a.txt").stat().st_mtime_ns == before


def test_a_file_that_no_longer_belongs_is_removed(tmp_path):
    (tmp_path / "old").write_text("was generated once")
    assert tmp_path / "old" in write_tree(make_tree(tmp_path))
    assert not (tmp_path / "old").exists()


def test_the_executable_bit_is_written_and_compared(tmp_path):
    write_tree(make_tree(tmp_path))
    executable = make_tree(tmp_path, executable=True)
    assert "sub/a.txt: mode 644 -> 755" in diff_tree(executable)
    write_tree(executable)
    assert (tmp_path / "sub/a.txt").stat().st_mode & 0o777 == 0o755


def test_a_stale_file_is_an_error_with_the_diff(tmp_path):
    write_tree(make_tree(tmp_path))
    (tmp_path / "sub/a.txt").write_text("edited by hand")
    with pytest.raises(StaleError, match=r"(?s)--- a/sub/a.txt.*-edited by hand.*\+one") as caught:
        check_tree(GeneratedTree(root=tmp_path, files=make_tree(tmp_path).files))
    assert "modelyard generate" in caught.value.hint


def test_a_missing_file_and_one_that_must_not_be_there_are_in_the_diff(tmp_path):
    (tmp_path / "old").write_text("leftover\n")
    difference = diff_tree(make_tree(tmp_path))
    assert "+++ b/sub/a.txt" in difference and "--- /dev/null" in difference
    assert "--- a/old" in difference and "-leftover" in difference


def test_what_is_as_it_should_be_passes(tmp_path):
    write_tree(make_tree(tmp_path))
    check_tree(make_tree(tmp_path))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_tree(make_tree(tmp_path))

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tree(make_tree(tmp_path, "two\n"))
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.txt"]
    assert (tmp_path / "sub/a.txt").read_text() == "one\n"
