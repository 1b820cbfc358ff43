"""A file comes whole or not at all, whatever the store and the connection do."""

import fcntl
import hashlib
import shutil
import threading
from collections import namedtuple

import pytest

from modelyard.errors import InputError, StoreError
from modelyard.store import transfer
from modelyard.store.protocols import ChangedFileError, Entry, InterruptedTransferError
from modelyard.store.transfer import fetch, fetch_all, list_files, push, push_all, remove

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
URL = "s3://bucket/models/rf.ubj"


class FakeStore:
    """Holds one file and breaks the connection after so many bytes, attempt by attempt; 0 bytes break at once."""

    def __init__(self, *, cuts=(), content=CONTENT, sha256=DIGEST, version="v1"):
        self.content, self.sha256, self.version = content, sha256, version
        self.cuts, self.starts = list(cuts), []

    def stat(self, key):
        return Entry(key=key, size=len(self.content), modified=0.0, version=self.version, sha256=self.sha256)

    def read(self, entry, *, start):
        self.starts.append(start)
        if entry.version != self.version:
            raise ChangedFileError("replaced")
        end = start + self.cuts.pop(0) if self.cuts else len(self.content)
        for position in range(start, end, 100):
            yield self.content[position : min(position + 100, end)]
        if end < len(self.content):
            raise InterruptedTransferError(f"cut off after {end}")


@pytest.fixture
def store(monkeypatch):
    fake = FakeStore()
    monkeypatch.setattr(transfer, "open_store", lambda address: fake)
    monkeypatch.setattr(transfer.time, "sleep", lambda seconds: None)
    return fake


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "rf.ubj"
    path.write_bytes(b"the old one")
    return path


def parts(folder):
    return list(folder.glob(".*.part"))


def test_a_file_is_fetched_with_progress(store, target):
    seen = []
    assert fetch(URL, target, progress=lambda done, total: seen.append((done, total))) == target
    assert target.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 10
    assert list(target.parent.iterdir()) == [target]


def test_into_a_folder_it_keeps_its_name(store, tmp_path):
    assert fetch(URL, tmp_path) == tmp_path / "rf.ubj"


def test_a_file_that_is_there_is_not_downloaded_again(store, target):
    fetch(URL, target)
    fetch(URL, target)
    assert store.starts == [0] and not parts(target.parent)


def test_a_broken_connection_is_taken_up_where_it_broke(store, target):
    store.cuts = [3000, 0, 500]
    fetch(URL, target)
    assert store.starts == [0, 3000, 3000, 3500] and target.read_bytes() == CONTENT


def test_a_connection_that_keeps_breaking_is_an_error_and_the_next_run_goes_on(store, target):
    store.cuts = [5000, 0, 0, 0, 0]
    with pytest.raises(InterruptedTransferError):
        fetch(URL, target)
    assert target.read_bytes() == b"the old one" and len(parts(target.parent)) == 1
    fetch(URL, target)
    assert store.starts[-1] == 5000 and target.read_bytes() == CONTENT and not parts(target.parent)


def test_a_part_of_another_version_is_not_gone_on_with(store, target):
    store.cuts = [5000, 0, 0, 0, 0]
    with pytest.raises(InterruptedTransferError):
        fetch(URL, target)
    store.version = "v2"
    fetch(URL, target)
    assert store.starts[-1] == 0 and target.read_bytes() == CONTENT and not parts(target.parent)


def test_a_file_that_is_replaced_meanwhile_is_an_error(store, target, monkeypatch):
    entry = store.stat("models/rf.ubj")
    monkeypatch.setattr(store, "stat", lambda key: entry)
    store.version = "v2"
    with pytest.raises(ChangedFileError):
        fetch(URL, target)
    assert target.read_bytes() == b"the old one" and not parts(target.parent)


def test_a_damaged_file_is_refused(store, target):
    store.content = CONTENT[:-1] + b"!"
    with pytest.raises(StoreError, match=f"sha256 [0-9a-f]+, expected {DIGEST}"):
        fetch(URL, target)
    assert target.read_bytes() == b"the old one" and not parts(target.parent)


def test_a_digest_of_the_callers_own_counts(store, target):
    with pytest.raises(StoreError, match="expected 00"):
        fetch(URL, target, sha256="00" * 32)
    assert fetch(URL, target, sha256=DIGEST.upper()) == target


def test_a_store_that_knows_no_digest_is_checked_by_size(store, target):
    store.sha256 = None
    fetch(URL, target)
    assert target.read_bytes() == CONTENT


def test_a_disk_without_room_is_an_error_before_anything_is_written(store, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 90, 10))
    with pytest.raises(StoreError, match=r"10,240 bytes are needed, 10 are free"):
        fetch(URL, target)
    assert target.read_bytes() == b"the old one" and not parts(target.parent) and not store.starts


def test_a_disk_that_fills_up_is_an_error_and_the_part_makes_room(store, target, monkeypatch):
    def fill(entry, *, start):
        yield CONTENT[:100]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "read", fill)
    with pytest.raises(StoreError, match="No space left on device"):
        fetch(URL, target)
    assert target.read_bytes() == b"the old one" and not parts(target.parent)


def test_two_pulls_of_one_file_download_it_once(store, target):
    first_runs, first_may_end = threading.Event(), threading.Event()
    original = store.read

    def read(entry, *, start):
        for chunk in original(entry, start=start):
            first_runs.set()
            assert first_may_end.wait(10)
            yield chunk

    store.read = read
    pulls = [threading.Thread(target=fetch, args=(URL, target)) for _ in range(2)]
    pulls[0].start()
    assert first_runs.wait(10)
    pulls[1].start()
    first_may_end.set()
    for pull in pulls:
        pull.join(10)
    assert store.starts == [0] and target.read_bytes() == CONTENT and not parts(target.parent)


def test_a_part_that_another_process_is_at_is_not_swept(store, target):
    busy = target.with_name(".rf.ubj.0123456789ab.part")
    with busy.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fetch(URL, target)
        assert busy.exists()


def test_an_empty_file_comes_too(store, target):
    store.content, store.sha256 = b"", hashlib.sha256(b"").hexdigest()
    fetch(URL, target)
    assert target.read_bytes() == b""


@pytest.fixture
def folder(tmp_path):
    """A folder that is a store, with two files and one that is half-made."""
    root = tmp_path / "store"
    (root / "sub").mkdir(parents=True)
    (root / "a.pth").write_bytes(b"a")
    (root / "sub" / "b.pth").write_bytes(b"bb")
    (root / ".c.pth.123.part").write_bytes(b"half")
    return root


def test_a_folder_is_a_store_too(folder, tmp_path):
    assert fetch(str(folder / "a.pth"), tmp_path / "got.pth").read_bytes() == b"a"
    assert push(tmp_path / "got.pth", f"{folder}/new/") == str(folder / "new" / "got.pth")
    assert [(address.name, entry.size) for address, entry in list_files(str(folder))] == [
        ("a.pth", 1),
        ("got.pth", 1),
        ("b.pth", 2),
    ]
    assert remove(str(folder / "a.pth")) == [str(folder / "a.pth")]
    assert not (folder / "a.pth").exists()


def test_a_file_fetched_onto_itself_stays(folder):
    assert fetch(str(folder / "a.pth"), folder / "a.pth").read_bytes() == b"a"


def test_a_whole_folder_comes_and_goes(folder, tmp_path):
    got = fetch_all(f"{folder}/", tmp_path / "here")
    assert [path.relative_to(tmp_path / "here").as_posix() for path in got] == ["a.pth", "sub/b.pth"]
    there = tmp_path / "there"
    assert push_all(tmp_path / "here", str(there)) == [str(there / "a.pth"), str(there / "sub" / "b.pth")]
    with pytest.raises(InputError, match="--recursive"):
        remove(f"{there}/")
    assert len(remove(f"{there}/", recursive=True)) == 2


@pytest.mark.parametrize("key", ["data/../../evil", "data//etc/evil"])
def test_a_key_that_leads_out_of_the_folder_is_refused(monkeypatch, tmp_path, key):
    class Hostile(FakeStore):
        def entries(self, prefix):
            yield self.stat(key)

    monkeypatch.setattr(transfer, "open_store", lambda address: Hostile())
    with pytest.raises(StoreError, match="leads out of the folder"):
        fetch_all("s3://bucket/data/", tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_what_is_missing_is_an_error(folder, tmp_path):
    with pytest.raises(StoreError, match=r"nope\.pth: no such file"):
        fetch(str(folder / "nope.pth"), tmp_path)
    with pytest.raises(InputError, match="can't read it"):
        push(tmp_path / "nope.pth", str(folder))
    with pytest.raises(InputError, match="a folder, expected one file"):
        fetch(f"{folder}/", tmp_path)


def test_a_file_that_changes_while_it_is_pushed_is_an_error(folder, tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    path.write_bytes(b"one")
    before = transfer._digest(path)
    path.write_bytes(b"two")
    monkeypatch.setattr(transfer, "_digest", lambda path: before)
    with pytest.raises(StoreError, match="changed while it was copied"):
        push(path, str(folder))
    assert not (folder / "model.pth").exists()
