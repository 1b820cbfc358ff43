"""Images made again: equal for others, on other days and with empty caches; else each difference is named."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from modelyard.engines.oci.bases import open_base
from modelyard.engines.oci.layout import CONFIG, LAYER, Layout
from modelyard.engines.oci.registry import MANIFEST
from modelyard.images.platforms import TargetPlatform
from tests.base_images import ARCHITECTURE, file, make_image, own_python, pack_layer
from tests.component.requirements.wheels import make_wheel
from tests.conftest import MakeWorkspace

HERE = TargetPlatform(architecture=ARCHITECTURE)
MODEL = "projects/demo/m"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Layout(tmp_path_factory.mktemp("base"))
    passwd = file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    made.tag(make_image(made, [pack_layer(*own_python(), passwd)], Env=["PATH=/usr/bin:/bin"]), "py")
    return made.root


class Builder:
    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self.root, self.environ = root, environ
        self.layout = Layout(Path(environ["MODELYARD_HOME"], "oci"))

    def run(self, *words: str, code: int = 0, umask: int = -1, before: Sequence[str] = (), **more: str) -> str:
        command = [*before, sys.executable, "-m", "modelyard", *words]
        environ = {**self.environ, **more}
        done = subprocess.run(
            command, env=environ, cwd=self.root, capture_output=True, text=True, check=False, umask=umask
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + (done.stderr if code else "")

    def build(self, **options) -> str:
        return self.run("build", MODEL, "train", "--engine", "oci", "--tag", "mine", **options).strip()


@pytest.fixture
def builder(base: Path, make_workspace: MakeWorkspace, tmp_path: Path) -> Iterator[Builder]:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "forest", "1.0")
    files = {
        ".s2i/environment": "TRAIN_MODULE=train\n",
        "train.py": "import forest\ndef train(msg): return {'forest': forest.VERSION}\n",
        "requirements_train.txt": "forest",
    }
    workspace = make_workspace({f"{MODEL}/{name}": text for name, text in files.items()})
    uv = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv"), "UV_NO_CONFIG": "1"}
    own = {"HOME": str(tmp_path), "MODELYARD_HOME": str(tmp_path / "home"), "MODELYARD_BASE_IMAGE": f"oci:{base}:py"}
    return Builder(workspace.root, {"PATH": os.environ["PATH"], **own, **uv})


def test_it_is_equal_with_another_umask_time_zone_and_empty_caches(builder, tmp_path):
    image = builder.build()
    assert builder.run("verify-image", "mine:latest") == f"equal: sha256:{image}\n"
    other = {"MODELYARD_HOME": str(tmp_path / "other"), "UV_CACHE_DIR": str(tmp_path / "cold"), "TZ": "Asia/Tokyo"}
    for path in builder.root.rglob("*"):
        os.utime(path, (1e9, 1e9))
    assert builder.build(umask=0o077, **other) == image
    digest = builder.layout.find("mine:latest")["digest"]
    assert Layout(tmp_path / "other" / "oci").find("mine:latest")["digest"] == digest, "compressed, too"


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can be somebody else")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="NOT TESTED: setpriv of util-linux is not installed")
def test_it_is_equal_for_another_user(builder, tmp_path):
    image = builder.build()
    theirs = tmp_path / "theirs"
    own = {name: str(theirs / name) for name in ("HOME", "MODELYARD_HOME", "UV_CACHE_DIR", "TMPDIR")}
    (theirs / "TMPDIR").mkdir(parents=True)
    for folder in (theirs, theirs / "TMPDIR"):
        os.chown(folder, 65534, 65534)
    # He may read what is root's alone: this checkout, and this Python.
    somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    somebody += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    assert builder.build(before=somebody, umask=0o027, **own) == image
    assert (theirs / "MODELYARD_HOME" / "oci" / "index.json").stat().st_uid == 65534


def test_each_difference_is_named(builder, tmp_path):
    builder.build()
    image = open_base("mine:latest", HERE, builder.environ, builder.layout)
    top = image.layers[-1]
    buffer = io.BytesIO()
    with (
        tarfile.open(builder.layout.path(top["digest"])) as source,
        tarfile.open(fileobj=buffer, mode="w") as target,
    ):
        for member in source:
            content = source.extractfile(member) if member.isreg() else None
            if member.name.endswith("train.py"):
                content, member.size = io.BytesIO(b"# other\n"), 8
            if member.name.endswith("environment"):
                member.mode = 0o600
            target.addfile(member, content)
    layer = builder.layout.write(gzip.compress(buffer.getvalue(), mtime=0), LAYER)
    document = json.loads(builder.layout.read(image.id))
    document["rootfs"]["diff_ids"][-1] = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
    document["config"]["Env"].append("EXTRA=1")
    manifest = builder.layout.read_manifest(image.descriptor).document
    changed = {
        **manifest,
        "config": builder.layout.write_json(document, CONFIG),
        "layers": [*manifest["layers"][:-1], layer],
    }
    builder.layout.tag(builder.layout.write_json(changed, MANIFEST), "changed")
    said = builder.run("verify-image", "changed", code=4)
    number = len(image.layers)
    assert f"layer {number} (source: demo/m (train)" in said
    assert "model/train.py: content " in said
    assert "mode 600 and " in said
    assert "config.Env: the image" in said
    assert "changed is not what its source makes here" in said


def test_another_source_is_an_error_before_anything_is_built(builder):
    builder.build()
    (builder.root / MODEL / "train.py").write_text("def train(msg): return 1\n")
    said = builder.run("verify-image", "mine:latest", code=4)
    assert "check out the source that the image was made of" in said


def test_an_image_that_names_no_source_is_refused(builder):
    place = builder.environ["MODELYARD_BASE_IMAGE"]
    assert "does not say which source" in builder.run("verify-image", place, code=3)
