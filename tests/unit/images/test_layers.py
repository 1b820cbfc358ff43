"""Layers, archives and instructions: bytes that come out the same, and nothing that leaves its place."""

import hashlib
import io
import json
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.engines.docker.parent import describe_layers, describe_parent
from modelyard.errors import EngineError, InputError
from modelyard.images.archive import stream_archive
from modelyard.images.configuration import Change, image_id, make_config
from modelyard.images.distributions import is_left_out
from modelyard.images.instructions import format_instructions, quote_value
from modelyard.images.layer import (
    ChunkReader,
    Layer,
    copy_safely,
    pack,
    write_files_layer,
    write_layer,
    write_source_layer,
)

PARENT = {
    "Id": "sha256:parent",
    "Architecture": "amd64",
    "Os": "linux",
    "Config": {"Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "User": "1001", "Labels": {"below": "yes"}},
    "RootFS": {"Layers": ["sha256:" + "0" * 64]},
}
HISTORY = [
    {"CreatedBy": "/bin/sh -c #(nop)  LABEL a=b", "Size": 0, "Created": 5},
    {"CreatedBy": "/bin/sh -c make", "Size": 0, "Created": 4},
    {"CreatedBy": "/bin/sh -c #(nop)  ENV A=1", "Size": 0, "Created": 3},
]


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return {member.name: member for member in archive}


def tar_of(*entries: tarfile.TarInfo) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    buffer.seek(0)
    return buffer


def entry(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "pkg" / "__pycache__").mkdir(parents=True)
    (folder / "pkg" / "a.py").write_text("a")
    (folder / "pkg" / "__pycache__" / "a.pyc").write_text("junk")
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o700)
    return folder


class TestSourceLayer:
    def test_same_files_make_the_same_digest_whenever(self, source, tmp_path):
        first = write_source_layer(tmp_path / "1.tar", "/action", source)
        for path in source.rglob("*"):
            path.touch()
        assert write_source_layer(tmp_path / "2.tar", "/action", source).digest == first.digest
        assert first.digest == f"sha256:{hashlib.sha256((tmp_path / '1.tar').read_bytes()).hexdigest()}"

    def test_belongs_to_the_application_and_group_may_write(self, source, tmp_path):
        write_source_layer(tmp_path / "1.tar", "/action", source)
        found = members(tmp_path / "1.tar")
        assert list(found) == ["action", "action/pkg", "action/pkg/a.py", "action/run.sh"]
        assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(1001, 0, 1)}
        assert [found[name].mode for name in ("action", "action/pkg/a.py", "action/run.sh")] == [0o775, 0o664, 0o775]

    def test_ends_with_two_blocks_of_zeros_and_no_more(self, source, tmp_path):
        layer = write_source_layer(tmp_path / "1.tar", "/action", source)
        content = layer.path.read_bytes()
        assert content.endswith(bytes(1024))
        assert content[-1536:-1024].strip(b"\0")

    def test_scripts_belong_to_root(self, source, tmp_path):
        write_source_layer(tmp_path / "1.tar", "/a", source, scripts={"/usr/libexec/s2i/run": source / "run.sh"})
        script = members(tmp_path / "1.tar")["usr/libexec/s2i/run"]
        assert (script.uid, script.mode) == (0, 0o755)


class TestDependencyLayer:
    def test_is_normalised_and_names_what_can_be_imported(self, tmp_path):
        site = "default/lib/python3.11/site-packages"
        names = [f"{site}/numpy/__init__.py", f"{site}/six.py", f"{site}/x.cpython-311.so", f"{site}/a-1.dist-info/R"]
        names.append("./old/lib/python3.9/site-packages/idna/core.py")
        archive = tar_of(*(entry(name, mtime=99, uid=7, uname="u") for name in names))
        layer = write_layer(tmp_path / "l.tar", archive, "/opt/env", is_left_out=lambda name: False)
        assert layer.modules == {"default": {"numpy", "six", "x"}, "old": {"idna"}}
        found = members(tmp_path / "l.tar")
        assert list(found)[:2] == ["opt", "opt/env"]
        assert {(member.uid, member.uname, member.mtime) for member in found.values()} == {(0, "", 1)}

    @pytest.mark.parametrize(
        ("name", "left_out"),
        [
            ("default/lib/python3.11/site-packages/sklearn/tests/test_x.py", True),
            ("default/lib/python3.11/site-packages/sklearn/base.py", False),
            ("default/lib/python3.11/site-packages/gateway/x.py", False),
            ("default/lib/python3.11/site-packages/six-1.0.dist-info/uv_cache.json", True),
            ("default/lib/python3.11/site-packages/six-1.0.dist-info/METADATA", False),
            ("default/lib/python3.11/site-packages/six/uv_cache.json", False),
            ("tests/bin/python", False),
        ],
    )
    def test_tests_and_the_notes_of_uv_are_left_out(self, name, left_out):
        assert is_left_out(PurePosixPath(name)) is left_out

    @pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "a/../../b"])
    def test_member_that_leaves_its_folder_is_an_error(self, name, tmp_path):
        with pytest.raises(EngineError, match="leaves the folder"):
            write_layer(tmp_path / "l.tar", tar_of(entry(name)), "/opt", is_left_out=lambda name: False)


class TestCopySafely:
    def test_members_come_below_the_root(self):
        target = io.BytesIO()
        count = copy_safely(
            tar_of(entry("a/b", size=3), entry("l", type=tarfile.SYMTYPE, linkname="a/b")), target, "/x"
        )
        target.seek(0)
        with tarfile.open(fileobj=target) as archive:
            assert archive.getnames() == ["x/a/b", "x/l"]
        assert count == 1

    @pytest.mark.parametrize(
        "bad",
        [
            entry("../b"),
            entry("/b"),
            entry("l", type=tarfile.SYMTYPE, linkname="../../etc"),
            entry("a/l", type=tarfile.LNKTYPE, linkname="../etc/passwd"),
            entry("l", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        ],
    )
    def test_member_or_link_that_leaves_is_an_error(self, bad):
        with pytest.raises(EngineError, match="leaves the folder"):
            copy_safely(tar_of(bad), io.BytesIO(), "/x")

    def test_what_is_no_tar_is_an_error(self):
        with pytest.raises(EngineError, match="should be a tar"):
            copy_safely(io.BytesIO(b"usage: save-artifacts" * 100), io.BytesIO(), "/x")


class TestImage:
    def test_id_has_no_clock_in_it_and_keeps_what_is_below(self, source, tmp_path):
        layer = write_source_layer(tmp_path / "1.tar", "/action", source)
        change = Change(
            layers=[("source", layer)], environment={"A": "2", "B": "3"}, labels={"x": "y"}, command=["run"]
        )
        config = make_config(describe_parent(PARENT, HISTORY), change)
        assert config == make_config(describe_parent(PARENT, [{**item, "Created": 99} for item in HISTORY]), change)
        document = json.loads(config)
        assert document["config"] == {
            "Cmd": ["run"],
            "Env": ["PATH=/bin", "A=2", "B=3"],
            "Labels": {"below": "yes", "x": "y"},
            "User": "1001",
        }
        assert document["rootfs"]["diff_ids"] == ["sha256:" + "0" * 64, layer.digest]
        assert [item.get("empty_layer", False) for item in document["history"]] == [True, False, True, False]

    def test_history_that_can_not_be_told_apart_has_one_line_a_layer(self):
        assert len(describe_layers(HISTORY, 3)) == 3
        assert all("empty_layer" not in item for item in describe_layers(HISTORY, 3))

    def test_archive_has_the_new_layer_alone_and_a_manifest_for_each_engine(self, tmp_path):
        layer = write_files_layer(tmp_path / "l.tar", {"/a/b": b"1" * 700}, executable="/x")
        config = make_config(describe_parent(PARENT, HISTORY), Change(layers=[("source", layer)]))
        data = b"".join(stream_archive(config, Change(layers=[("source", layer)])))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            contents = {member.name: archive.extractfile(member).read() for member in archive}
        (saved,) = json.loads(contents["manifest.json"])
        assert saved["Layers"] == ["blobs/sha256/" + "0" * 64, f"blobs/sha256/{layer.digest[7:]}"]
        (described,) = json.loads(contents["index.json"])["manifests"]
        blob = f"blobs/sha256/{described['digest'][7:]}"
        assert hashlib.sha256(contents[blob]).hexdigest() == described["digest"][7:]
        manifest = json.loads(contents[blob])
        assert [each["digest"] for each in manifest["layers"]] == ["sha256:" + "0" * 64, layer.digest]
        assert manifest["config"]["digest"] == image_id(config)
        names = {"oci-layout", "index.json", "manifest.json", blob, saved["Config"], saved["Layers"][1]}
        assert set(contents) == names
        assert contents[saved["Layers"][1]] == layer.path.read_bytes()
        assert image_id(config) == f"sha256:{hashlib.sha256(contents[saved['Config']]).hexdigest()}"

    def test_layers_that_the_engine_has_are_named_and_not_sent(self, tmp_path):
        layer = write_files_layer(tmp_path / "l.tar", {"/a": b"1"})
        below = write_files_layer(tmp_path / "b.tar", {"/b": b"1"})
        whole = Change(layers=[("below", below), ("source", layer)])
        part = Change(known=[("below", below.digest)], layers=[("source", layer)])
        config = make_config(describe_parent(PARENT, HISTORY), part)
        assert config == make_config(describe_parent(PARENT, HISTORY), whole)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream_archive(config, part)))) as archive:
            names = archive.getnames()
        assert f"blobs/sha256/{layer.digest[7:]}" in names
        assert f"blobs/sha256/{below.digest[7:]}" not in names


class TestInstructions:
    @given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r\0")))
    def test_a_dockerfiles_parser_reads_every_value_back(self, value):
        assert read_back(quote_value("KEY", value)) == value

    @pytest.mark.parametrize("value", ["a\nRUN rm -rf /", "a\rb", "\0"])
    def test_value_that_would_end_its_line_is_an_error(self, value):
        with pytest.raises(InputError, match="line break"):
            format_instructions("ENV", {"A": value})

    @pytest.mark.parametrize("key", ["", "A B", "A=B", 'A"', "$A"])
    def test_key_that_is_none_is_an_error(self, key):
        with pytest.raises(InputError, match="no name for LABEL"):
            format_instructions("LABEL", {key: "x"})


def read_back(quoted: str) -> str:
    """What a Dockerfile's parser makes of a double-quoted word without variables."""
    assert quoted[0] == quoted[-1] == '"'
    characters = iter(quoted[1:-1])
    result = ""
    for character in characters:
        assert character not in '"$'
        result += next(characters) if character == "\\" else character
    return result


def test_chunks_read_as_a_file():
    assert io.BufferedReader(ChunkReader([b"ab", b"", b"cde"])).read() == b"abcde"


def test_files_layer_has_links_and_keeps_who_may_run_what(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh")
    script.chmod(0o700)
    files = {"/env/bin/tool": script, "/env/pyvenv.cfg": b"home = /usr/bin"}
    layer = write_files_layer(tmp_path / "l.tar", files, links={"/env/bin/python": "/usr/bin/python3"})
    found = members(layer.path)
    assert list(found) == ["env", "env/bin", "env/bin/python", "env/bin/tool", "env/pyvenv.cfg"]
    assert found["env/bin/python"].linkname == "/usr/bin/python3"
    assert [found[name].mode for name in ("env/bin/tool", "env/pyvenv.cfg")] == [0o755, 0o644]


def test_pack_is_sorted_and_marks_what_can_be_run(tmp_path):
    path = tmp_path / "p.tar"
    path.write_bytes(pack({"b": b"1", "a": b"2"}, executable=["b"]))
    assert [(name, member.mode) for name, member in members(path).items()] == [("a", 0o644), ("b", 0o755)]
    assert isinstance(Layer(path, "sha256:x").size, int)
