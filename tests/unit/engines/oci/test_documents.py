"""What others wrote about images is checked where it is read, and archives that are none of ours are said to be so."""

import fcntl
import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.documents import parse_document
from modelyard.engines.oci.layout import CONFIG, LAYER, Layout
from modelyard.engines.oci.places import parse_place, put, take
from modelyard.engines.oci.registry import MANIFEST, Registry
from modelyard.errors import EngineError

GOOD = {"mediaType": LAYER, "digest": f"sha256:{'a' * 64}", "size": 3}


@pytest.fixture
def registry():
    connection = Connection({})
    yield Registry(connection)
    connection.close()


@pytest.mark.parametrize("document", [{}, {"config": GOOD, "layers": [GOOD], "manifests": [], "more": 1}])
def test_descriptors_are_read(document):
    assert parse_document(json.dumps(document).encode(), "x") == document


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"[" * 100_000,
        b'{"layers": null}',
        b'{"layers": [5]}',
        b'{"config": {}}',
        json.dumps({"manifests": [{**GOOD, "digest": "../../x"}]}).encode(),
        json.dumps({"manifests": [{**GOOD, "size": -1}]}).encode(),
        json.dumps({"manifests": [{**GOOD, "mediaType": None}]}).encode(),
        json.dumps({"manifests": [{**GOOD, "platform": "linux"}]}).encode(),
    ],
)
def test_what_is_no_document_of_an_image_is_an_error_that_names_its_place(content):
    with pytest.raises(EngineError, match=r"^x: ") as caught:
        parse_document(content, "x")
    assert caught.value.hint


def write_archive(path: Path, **files: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("oci-archive", {"index_json": "{}"}),
        ("oci-archive", {"index_json": "x"}),
        ("docker-archive", {"manifest_json": "x"}),
        ("docker-archive", {"manifest_json": '[{"Config": "c"}]'}),
        ("docker-archive", {"manifest_json": '[{"Config": "c", "Layers": ["l"]}]', "c": "{}", "l": ""}),
    ],
)
def test_an_archive_of_nonsense_is_named(tmp_path, registry, kind, files):
    path = write_archive(tmp_path / "a.tar", **files)
    with pytest.raises(EngineError, match=r"a\.tar: "):
        take(parse_place(f"{kind}:{path}", tmp_path), Layout(tmp_path / "layout"), registry)


def make_image(layout: Layout) -> dict[str, object]:
    config = layout.write(b'{"rootfs": {"diff_ids": []}}', CONFIG)
    return layout.write_json({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}, MANIFEST)


def test_an_archive_that_was_cut_off_is_named(tmp_path, registry):
    layout = Layout(tmp_path / "layout")
    put(layout, make_image(layout), parse_place("oci-archive:whole.tar", tmp_path), registry)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(gzip.compress((tmp_path / "whole.tar").read_bytes())[:-200])
    with pytest.raises(EngineError, match=r"cut\.tar: no tar archive, or not all of one"):
        take(parse_place("oci-archive:cut.tar", tmp_path), Layout(tmp_path / "other"), registry)


def test_what_a_kill_left_of_an_archive_goes_with_the_next_one_and_what_another_writes_stays(tmp_path, registry):
    left, written = tmp_path / ".a.tar.1.part", tmp_path / ".a.tar.2.part"
    left.touch()
    layout = Layout(tmp_path / "layout")
    with written.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        put(layout, make_image(layout), parse_place("oci-archive:a.tar", tmp_path), registry)
    assert (tmp_path / "a.tar").is_file() and written.exists() and not left.exists()
