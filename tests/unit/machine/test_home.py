"""Locks, records and folders of the embedded engine."""

import shutil
import threading
from pathlib import Path

import pytest

from modelyard.errors import EngineError
from modelyard.machine.home import (
    Home,
    explaining_disk_errors,
    measure_tree,
    read_record,
    remove_tree,
    write_record,
)


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"MODELYARD_HOME": "/srv/yard", "XDG_DATA_HOME": "/x"}, "/srv/yard"),
        ({"XDG_DATA_HOME": "/x", "HOME": "/home/me"}, "/x/modelyard"),
        ({"HOME": "/home/me"}, "/home/me/.local/share/modelyard"),
    ],
)
def test_home_is_where_the_environment_says(environ, root):
    assert Home.from_environ(environ).root == Path(root)


def test_second_holder_of_a_lock_waits_and_says_so(tmp_path):
    home = Home(tmp_path)
    waits, order = threading.Event(), []

    def second() -> None:
        with home.lock("one", on_wait=waits.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with home.lock("one"):
        thread.start()
        assert waits.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_files_of_free_locks_are_removed_and_no_other(tmp_path):
    home = Home(tmp_path)
    with home.lock("free"):
        pass
    with home.lock("held", shared=True):
        home.remove_free_locks()
        assert [path.name for path in home.locks.iterdir()] == ["held"]
    home.remove_free_locks()
    assert list(home.locks.iterdir()) == []


def test_lock_whose_file_goes_while_it_is_waited_for_is_taken_anew(tmp_path):
    home = Home(tmp_path)
    waits, found = threading.Event(), []

    def second() -> None:
        with home.lock("one", on_wait=waits.set):
            found.extend(home.locks.iterdir())

    thread = threading.Thread(target=second)
    with home.lock("one"):
        thread.start()
        assert waits.wait(5)
        (home.locks / "one").unlink()  # as remove_free_locks does where it comes before who waits
    thread.join(5)
    assert found == [home.locks / "one"]


def test_shared_lock_is_held_by_many_and_excludes_the_exclusive(tmp_path):
    home = Home(tmp_path)
    waits = threading.Event()

    def exclusive() -> None:
        with home.lock("store", on_wait=waits.set):
            pass

    thread = threading.Thread(target=exclusive)
    with home.lock("store", shared=True), home.lock("store", shared=True):
        thread.start()
        assert waits.wait(5)
    thread.join(5)
    assert not thread.is_alive()


def test_record_is_read_back_and_missing_or_broken_ones_are_none(tmp_path):
    path = tmp_path / "a.json"
    assert read_record(path) is None
    write_record(path, {"a": 1})
    assert read_record(path) == {"a": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]
    path.write_text("{")
    assert read_record(path) is None


def test_tree_is_measured_without_what_links_point_to(tmp_path):
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "a").write_bytes(b"12345")
    (tmp_path / "big").write_bytes(b"x" * 1000)
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "big")
    assert measure_tree(tmp_path / "tree") < 1000
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert [item.name for item in tmp_path.iterdir()] == ["big"]


def test_full_disk_is_an_error_that_says_what_to_do():
    with pytest.raises(EngineError, match="/srv/a: No space left") as error, explaining_disk_errors():
        raise OSError(28, "No space left on device", "/srv/a")
    assert error.value.hint == "free disk space: modelyard prune"


def test_full_disk_while_a_tree_is_copied_names_the_first_file():
    failed = [("/a/x", "/srv/x", "[Errno 28] No space left on device: '/srv/x'"), ("/a/y", "/srv/y", "[Errno 28] …")]
    with pytest.raises(EngineError, match=r"^/srv/x: .*No space left") as error, explaining_disk_errors():
        raise shutil.Error(failed)
    assert error.value.hint == "free disk space: modelyard prune"
