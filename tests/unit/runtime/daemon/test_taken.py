import os
from pathlib import Path

import pytest

from modelyard.runtime.daemon import taken
from modelyard.runtime.daemon.taken import Taken, read_taken


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
    assert read_taken(f"{tmp_path}/w0.sock.1") is None
    Taken(tmp_path / "w0.sock", most=1).show([1])
    assert read_taken(f"{tmp_path}/w0.sock.1") is None


def test_of_one_that_was_asked_nothing_it_is_known_that_it_has_begun_nothing(tmp_path: Path) -> None:
    Taken(tmp_path / "w0.sock", most=1)
    assert read_taken(f"{tmp_path}/w0.sock.{os.getpid()}") == set()


def test_a_successor_leaves_what_is_known_as_it_is_until_it_is_asked_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Taken(tmp_path / "w0.sock", most=3).show([1, 2, 3])
    old = os.getpid()
    monkeypatch.setattr(taken, "getpid", lambda: 1)
    successor = Taken(tmp_path / "w0.sock", most=1)
    assert read_taken(f"{tmp_path}/w0.sock.{old}") == {1, 2, 3}
    assert read_taken(f"{tmp_path}/w0.sock.1") == set()
    successor.show([4])
    assert read_taken(f"{tmp_path}/w0.sock.{old}") is None
    assert read_taken(f"{tmp_path}/w0.sock.1") == {4}


def test_a_successor_that_was_asked_has_begun_something_although_its_predecessor_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Taken(tmp_path / "w0.sock", most=1)
    monkeypatch.setattr(taken, "getpid", lambda: 1)
    Taken(tmp_path / "w0.sock", most=1).show([4])
    old.show([3])
    assert read_taken(f"{tmp_path}/w0.sock.1") is None
