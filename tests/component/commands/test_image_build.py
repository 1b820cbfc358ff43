"""Images of Dockerfiles, made of small contexts: what they hold, and that nothing of this machine is in them."""

import json
import os
import tarfile
import time
from pathlib import Path

import pytest

from modelyard.commands.copying import open_layout
from modelyard.commands.image_build import build_image, read_platforms
from modelyard.engines.oci.bases import Base, read_base
from modelyard.engines.oci.dockerfile_build import Order
from modelyard.errors import InputError
from modelyard.images.platforms import TargetPlatform
from tests.base_images import file, folder, link, make_image, make_index, pack_layer

AMD64 = TargetPlatform(architecture="amd64")
BASE = [
    folder("tmp", mode=0o1777),
    folder("usr/lib"),
    link("lib", "usr/lib"),
    file("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1001:0::/:/bin/sh\n"),
    file("etc/group", b"root:x:0:\nstaff:x:50:\n"),
    file("opt/tool", b"tool", mode=0o750, uid=7),
]


class Builder:
    def __init__(self, folder: Path, home: Path) -> None:
        self.context, self.environ = folder, {**os.environ, "MODELYARD_HOME": str(home)}
        self.layout = open_layout(self.environ)
        self.layout.tag(make_image(self.layout, [pack_layer(*BASE)], architecture="amd64", User="1001"), "base")
        self.lines: list[str] = []

    def write(self, **files: str) -> None:
        for name, content in files.items():
            self.put(name, content)

    def put(self, name: str, content: str = "") -> Path:
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def build(self, text: str, *, name: str = "made", **options) -> Base:
        self.put("Dockerfile", text)
        order = {"arguments": {}, "platforms": [AMD64], "target": None, **options.pop("order", {})}
        built = build_image(
            Order(dockerfile=self.context / "Dockerfile", context=self.context, folder=self.context, **order),
            name,
            self.environ,
            on_output=self.lines.append,
            on_transfer=lambda done, total: None,
            **options,
        )
        found = self.layout.find(name)
        assert found is not None and found["digest"] == built.digest
        return read_base(self.layout, found, name, AMD64)

    def added(self, text: str, **options) -> dict[str, tuple[str, str, int]]:
        """What is in no layer of the base: kind, mode and user of each path."""
        image = self.build(text, **options)
        return {
            found.path: (found.member.kind, f"{found.member.mode:o}", found.member.uid)
            for found in image.tree.walk()
            if found.layer != image.layers[0]["digest"]
        }


@pytest.fixture
def builder(tmp_path):
    (tmp_path / "context").mkdir()
    return Builder(tmp_path / "context", tmp_path / "home")


def test_a_copy_lies_where_docker_puts_it(builder):
    builder.put("src/a.py")
    builder.put("src/sub/run.sh").chmod(0o755)
    (builder.context / "src" / "link").symlink_to("a.py")
    (builder.context / "src" / "empty").mkdir()
    folder, plain = ("folder", "755", 0), ("file", "644", 0)
    found = builder.added("FROM base\nWORKDIR /work\nCOPY src new\nCOPY src/a.py .\nCOPY src/link b.py\n")
    assert found == {
        "/work": folder,
        "/work/a.py": plain,
        "/work/b.py": plain,
        "/work/new": folder,
        "/work/new/a.py": plain,
        "/work/new/empty": folder,
        "/work/new/link": ("link", "777", 0),
        "/work/new/sub": folder,
        "/work/new/sub/run.sh": ("file", "755", 0),
    }


def test_folders_and_links_of_the_base_stay_what_they_are(builder):
    builder.put("root/lib/x.so")
    builder.put("root/tmp/y")
    image = builder.build("FROM base\nCOPY root /\nCOPY root/tmp/y /lib/sub/\n")
    assert image.tree.find("/tmp").member.mode == 0o1777
    assert image.tree.look("/lib").member.kind == "link"
    assert image.tree.find("/usr/lib/x.so") is not None
    assert image.tree.find("/usr/lib/sub/y") is not None


def test_owners_and_modes_are_those_that_are_asked_for(builder):
    builder.put("a/b/c")
    found = builder.added("FROM base\nARG M=700\nCOPY --chown=app:staff --chmod=$M a /x/y\nCOPY --chown=5 a/b/c /z\n")
    assert found["/x/y/b"] == ("folder", "700", 1001)
    assert found["/x/y/b/c"] == ("file", "700", 1001)
    assert found["/z"] == ("file", "644", 5)
    image = builder.build("FROM base\nCOPY --chown=app:staff a/b/c /z\n")
    assert image.tree.find("/z").member.gid == 50
    with pytest.raises(InputError, match=r"Dockerfile:2: COPY: --chown: the image's /etc/passwd has no 'nobody'"):
        builder.build("FROM base\nCOPY --chown=nobody a /x\n")


def test_what_is_ignored_is_not_there(builder):
    for name in ("keep.py", "data/big.csv", "data/small.csv", "sub/.env", "notes.md"):
        builder.put(name)
    builder.put(".dockerignore", "# notes\n*.md\n**/.env\ndata\n!data/small.csv\nDockerfile\n.dockerignore\n")
    assert set(builder.added("FROM base\nCOPY . /app/\n")) == {
        "/app", "/app/keep.py", "/app/data", "/app/data/small.csv", "/app/sub"
    }  # fmt: skip
    builder.put("Dockerfile.dockerignore", "*\n!notes.md\n")
    assert set(builder.added("FROM base\nCOPY . /app/\n")) == {"/app", "/app/notes.md"}
    with pytest.raises(InputError, match=r"'keep.py' is nothing in the build context, or left out by .dockerignore"):
        builder.build("FROM base\nCOPY keep.py /\n")


def test_archives_are_unpacked_by_add_alone(builder):
    with tarfile.open(builder.context / "data.tar.gz", "w:gz") as archive:
        for member, content in (file("in/x", b"1", mode=0o600, uid=9), link("in/y", "in/x", hard=True)):
            archive.addfile(member, __import__("io").BytesIO(content))
    found = builder.added("FROM base\nADD data.tar.gz /data/\nCOPY data.tar.gz /\n")
    assert found["/data/in/x"] == found["/data/in/y"] or found["/data/in/x"] == ("file", "600", 9)
    assert found["/data.tar.gz"][0] == "file"
    assert "/data/data.tar.gz" not in found


def test_stages_hand_files_on(builder):
    builder.put("a")
    text = (
        "FROM base AS one\nCOPY a /made/a\nUSER 5\nFROM base AS unused\nRUN nothing\n"
        "FROM scratch\nCOPY --from=one /made /opt/tool /\nCOPY --from=base /etc/p*d /etc/\n"
    )
    image = builder.build(text)
    found = {each.path: each.member for each in image.tree.walk()}
    assert set(found) == {"/a", "/tool", "/etc", "/etc/passwd"}
    assert (found["/tool"].mode, found["/tool"].uid, found["/tool"].size) == (0o750, 7, 4)
    assert image.read(image.tree.find("/tool")) == b"tool"
    assert "User" not in image.config
    assert builder.build(text, order={"target": "one"}).config["User"] == "5"


def test_what_a_base_has_put_off_is_done(builder):
    builder.put("a")
    builder.build("FROM base\nONBUILD COPY a /later\nONBUILD ENV X=1\n", name="offering")
    image = builder.build("FROM offering\nUSER 3\n")
    assert image.tree.find("/later") is not None
    assert ("X=1" in image.config["Env"], "OnBuild" in image.config) == (True, False)
    builder.build("FROM base\nONBUILD RUN make\n", name="offering")
    with pytest.raises(InputError, match=r"ONBUILD of offering:1: RUN make: a RUN needs a container"):
        builder.build("FROM offering\n")


def test_the_same_source_is_the_same_digest(builder, monkeypatch):
    builder.put("a/run.sh").chmod(0o700)
    builder.put("a/data").chmod(0o600)
    text = "FROM base\nWORKDIR /w\nCOPY a/ .\nENV B=1 A=2\n"
    first = builder.build(text)
    (builder.context / "a" / "run.sh").chmod(0o775)
    (builder.context / "a" / "data").chmod(0o664)
    os.utime(builder.context / "a" / "data", (5, 5))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    for listing in (builder.layout.root / "listings").iterdir():
        listing.unlink()
    assert builder.build(text).descriptor == first.descriptor
    assert json.loads(builder.layout.read(first.id))["created"] == "1970-01-01T00:00:00Z"


def test_several_platforms_are_one_index(builder, tmp_path):
    arm = make_image(builder.layout, [pack_layer(file("arm"))], architecture="arm64")
    amd = builder.layout.find("base")
    images = {name: {key: each[key] for key in arm} for name, each in {"amd64": amd, "arm64": arm}.items()}
    builder.layout.tag(make_index(builder.layout, images), "both")
    builder.put("Dockerfile", "FROM both\nARG TARGETARCH\nENV FOR=$TARGETARCH\n")
    platforms = read_platforms(["linux/amd64,arm64", "linux/aarch64"], AMD64)
    order = Order(
        dockerfile=builder.context / "Dockerfile", context=builder.context, folder=tmp_path,
        arguments={}, platforms=platforms, target=None,
    )  # fmt: skip
    built = build_image(
        order, "made", builder.environ, outputs=["oci:out:v1"], on_output=builder.lines.append,
        on_transfer=lambda done, total: None,
    )  # fmt: skip
    top = builder.layout.find("made")
    manifests = builder.layout.read_manifest(top).document["manifests"]
    assert [each["platform"]["architecture"] for each in manifests] == ["amd64", "arm64"]
    for each in manifests:
        image = read_base(builder.layout, each, "made", AMD64)
        assert f"FOR={each['platform']['architecture']}" in image.config["Env"]
    assert json.loads((tmp_path / "out" / "index.json").read_text())["manifests"][0]["digest"] == built.digest


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("RUN make", r"Dockerfile:2: RUN make: a RUN needs a container"),
        ("COPY none /x", r"Dockerfile:2: COPY: 'none' is nothing in the build context"),
        ("COPY ../outside /x", r"'../outside' is nothing in the build context"),
        ("COPY out /x", r"'out' is nothing in the build context"),
        ("COPY a b /x", "several sources, and the target is no folder"),
        ("COPY [ab] /x", "several sources, and the target is no folder"),
        ("COPY a", "names no source and target"),
        ("COPY a /tmp/../etc/passwd/", "/etc/passwd is a file in the image, and no folder"),
        ("COPY sub /etc/passwd", "/etc/passwd is a file in the image"),
        ("COPY sub /", "/etc/passwd is a file in the image, and no folder"),
        ("WORKDIR /etc/passwd", "/etc/passwd is a file in the image, and no folder"),
        ("COPY --chmod=u+x a /x", "--chmod=u\\+x is no mode"),
        ("COPY --parents a /x", "--parents is not known here"),
        ("COPY <<EOF /x\nEOF", "files written as << are BuildKit's"),
        ("ADD https://example.org/x /x", "https://example.org/x is fetched by engines alone"),
        ("COPY --from=base none /x", "'none' is nothing in base"),
        ("COPY .wh.a /x/", "a name that begins with .wh. can't be in an image"),
    ],
)
def test_what_can_not_be_is_named_with_its_line(builder, line, said):
    for name in ("a", "b", ".wh.a", "sub/etc/passwd/deep"):
        builder.put(name)
    (builder.context / "out").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match=said):
        builder.build(f"FROM base\n{line}\n")


@pytest.mark.parametrize("name", ["Upper", "host:99/Name", "-", "a b"])
def test_a_name_that_nobody_would_take_is_refused_before_anything_is_made(builder, name):
    with pytest.raises(InputError):
        builder.build("FROM base\n", name=name)
    assert builder.lines == []
