import os
from pathlib import Path

from modelyard.runtime.taken import Taken, read_taken


def test_what_a_worker_took_last_is_known_after_it(tmp_path: Path) -> None:
    taken = Taken(tmp_path / "w0.sock", most=3)
    taken.show([2**62, 7, 8])
    taken.show([9])
    assert read_taken(f"{tmp_path}/w0.sock.{os.getpid()}") == {9}
    taken.show([])
    assert read_taken(f"{tmp_path}/w0.sock.{os.getpid()}") == set()


def test_nothing_is_known_of_another_worker_s_requests(tmp_path: Path) -> None:
    assert read_taken(f"{tmp_path}/w0.sock.1") is None
    Taken(tmp_path / "w0.sock", most=1)
    assert read_taken(f"{tmp_path}/w0.sock.{os.getpid()}") is None  # it has begun nothing yet, or is not the one
    Taken(tmp_path / "w0.sock", most=1).show([1])
    assert read_taken(f"{tmp_path}/w0.sock.1") is None


def test_a_successor_leaves_the_file_as_it_is_until_it_is_asked_itself(tmp_path: Path) -> None:
    Taken(tmp_path / "w0.sock", most=3).show([1, 2, 3])
    Taken(tmp_path / "w0.sock", most=1)
    assert read_taken(f"{tmp_path}/w0.sock.{os.getpid()}") == {1, 2, 3}
