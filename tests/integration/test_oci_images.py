"""Images without an engine beside those of Docker: the same to the last byte, taken by others, whole after any kill."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelyard.context.build_context import BuildContext
from modelyard.context.staging import stage_model
from modelyard.engines import open_engine
from modelyard.engines.docker import DockerEngine
from modelyard.engines.oci.bases import open_base
from modelyard.engines.oci.engine import OciEngine
from modelyard.engines.oci.layout import Layout
from modelyard.engines.oci.places import Place, parse_place, take
from modelyard.engines.oci.registry import Registry
from modelyard.engines.oci.weights import weigh_layer
from modelyard.engines.protocols import ContainerSpec
from modelyard.images.platforms import TargetPlatform
from modelyard.workspace import Kind
from tests.base_images import ARCHITECTURE, file, make_image, own_python, pack_layer
from tests.component.requirements.wheels import make_wheel
from tests.integration.conftest import BUILD
from tests.integration.registries import running_registry

pytestmark = pytest.mark.integration

ENGINE = "docker"
MODEL = "projects/demo/m"
FILES = {
    f"{MODEL}/.s2i/environment": "TRAIN_MODULE=train\nROUTES=echo:predict:predict\n",
    f"{MODEL}/train.py": "import six\ndef train(msg): return {'six': six.PY3}\n",
    f"{MODEL}/predict.py": "import six\ndef predict(msg): return msg.payload\n",
    f"{MODEL}/requirements_train.txt": "six",
    f"{MODEL}/requirements_predict.txt": "six",
}
KILLS = 30


@pytest.fixture
def environ(image_engines, tmp_path: Path) -> dict[str, str]:
    own = {"MODELYARD_HOME": str(tmp_path / "home"), "MODELYARD_NAMESPACE": f"test-{os.urandom(4).hex()}"}
    return {**os.environ, **image_engines("docker"), **own}


@pytest.fixture
def docker(environ: dict[str, str]) -> Iterator[DockerEngine]:
    opened = open_engine("docker", environ)
    assert isinstance(opened, DockerEngine)
    yield opened
    for image in opened.images():
        opened.remove(image.id)
    opened.prune()


@pytest.fixture(scope="module")
def saved(image_engines, tmp_path_factory) -> Path:
    """The base image of Docker's engine, in a layout."""
    environ = {**os.environ, **image_engines("docker")}
    folder = tmp_path_factory.mktemp("saved")
    engine = open_engine("docker", environ)
    assert isinstance(engine, DockerEngine)
    reference = environ["MODELYARD_BASE_IMAGE"]
    with (folder / "base.tar").open("wb") as target:
        for chunk in engine.client.api.get_image(reference):
            target.write(chunk)
    layout = Layout(folder / "oci")
    place = parse_place(f"docker-archive:{folder / 'base.tar'}", folder)
    layout.tag(take(place, layout, Registry(None)), reference)  # type: ignore[arg-type]  # no registry is asked
    (folder / "base.tar").unlink()
    base = open_base(reference, TargetPlatform(architecture=ARCHITECTURE), {}, layout)
    assert base.interpreter.version
    assert all(weigh_layer(layout, each) for each in base.layers)  # what is read once is read here
    return layout.root


@pytest.fixture
def oci(environ: dict[str, str], saved: Path, tmp_path: Path) -> OciEngine:
    shutil.copytree(saved, tmp_path / "home" / "oci", copy_function=os.link)
    opened = open_engine("oci", environ)
    assert isinstance(opened, OciEngine)
    return opened


@pytest.fixture
def stage(make_workspace, tmp_path: Path):
    def run(kind: Kind) -> BuildContext:
        workspace = make_workspace(FILES)
        folder = tmp_path / f"context-{os.urandom(4).hex()}"
        return stage_model(workspace, workspace.model_directory(workspace.root / MODEL), kind, folder)

    return run


def read_docker(
    engine: DockerEngine, id: str, folder: Path, below: int
) -> tuple[dict[str, Any], dict[str, tuple[object, ...]]]:
    """The configuration of an image, and what its files are, but for those of so many layers `below`."""
    archive = folder / "image.tar"
    with archive.open("wb") as target:
        for chunk in engine.client.api.get_image(f"sha256:{id}"):
            target.write(chunk)
    with tarfile.open(archive) as outer:
        (saved,) = json.load(outer.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(outer.extractfile(saved["Config"]))  # type: ignore[arg-type]
        files: dict[str, tuple[object, ...]] = {}
        for name in saved["Layers"][below:]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                files |= {member.name.rstrip("/"): describe(layer, member) for member in layer}
    archive.unlink()
    return config, files


def read_layout(engine: OciEngine, tag: str, below: int) -> tuple[dict[str, Any], dict[str, tuple[object, ...]]]:
    descriptor = engine._images.descriptor(engine.inspect(tag))
    document = engine.layout.read_manifest(descriptor).document
    files: dict[str, tuple[object, ...]] = {}
    for each in document["layers"][below:]:
        with tarfile.open(engine.layout.path(each["digest"])) as layer:
            files |= {member.name.rstrip("/"): describe(layer, member) for member in layer}
    return json.loads(engine.layout.read(document["config"]["digest"])), files


def describe(layer: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    """Kind, mode, owners, time and content."""
    content = layer.extractfile(member).read() if member.isreg() else b""  # type: ignore[union-attr]
    digest = hashlib.sha256(content).hexdigest()
    return (member.type, member.mode, member.uid, member.gid, int(member.mtime), member.linkname, digest)


@pytest.mark.parametrize("kind", ["train", "predict"])
def test_image_is_that_of_docker(docker, oci, stage, saved, tmp_path, kind):
    lines: list[str] = []
    theirs = docker.build(stage(kind), tag="same", on_output=lines.append)
    if not docker.client.loads_parts:
        pytest.skip("this Docker takes no parts of images, so it makes platforms of its own")
    ours = oci.build(stage(kind), tag="same")
    base = Layout(saved)
    below = len(base.read_manifest(base.index[0]).document["layers"])
    config, files = read_docker(docker, theirs.id, tmp_path, below)
    own_config, own_files = read_layout(oci, "same", below)
    assert "opt/modelyard/environments/default/bin/python" in files
    assert own_files.keys() == files.keys()
    assert {name: (own_files[name], files[name]) for name in files if own_files[name] != files[name]} == {}
    assert own_config == config
    assert ours.labels == theirs.labels
    assert ours.id == theirs.id


def test_docker_load_takes_it_and_it_trains(docker, oci, stage, tmp_path):
    image = oci.build(stage("train"), tag="loaded")
    name = f"{oci.environ['MODELYARD_NAMESPACE']}/loaded:v1"
    oci.export("loaded", Place(kind="docker-archive", path=tmp_path / "image.tar", name=name))
    with (tmp_path / "image.tar").open("rb") as archive:
        list(docker.client.api.load_image(archive, quiet=True))
    assert docker.inspect("loaded:v1").id == image.id
    output: list[str] = []
    assert docker.run(ContainerSpec(image.id, environment={"TRAIN": "1"}), on_output=output.append) == 0
    assert json.loads(output[-1]) == {"six": True}


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="SKOPEO NOT TESTED: apt-get install skopeo")
def test_skopeo_takes_its_layout_and_its_archive(oci, stage, tmp_path):
    image = oci.build(stage("train"), tag="judged")
    oci.export("judged", Place(kind="oci", path=tmp_path / "out", name="v1"))
    oci.export("judged", Place(kind="oci-archive", path=tmp_path / "out.tar", name="v1"))
    for place in (f"oci:{tmp_path / 'out'}:v1", f"oci-archive:{tmp_path / 'out.tar'}:v1"):
        command = ["skopeo", "--insecure-policy", "inspect", "--config", "--raw", place]
        config = subprocess.run(command, capture_output=True, check=True).stdout
        assert hashlib.sha256(config).hexdigest() == image.id
    copied = ["skopeo", "--insecure-policy", "copy", "--quiet", place, f"dir:{tmp_path / 'copied'}"]
    subprocess.run(copied, check=True)


def test_changed_line_sends_its_own_layer_and_its_configuration_alone(oci, stage, tmp_path_factory, monkeypatch):
    from modelyard.commands.copying import push_image

    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        oci.build(stage("train"), tag="pushed")
        transfers: list[tuple[int, int]] = []

        def push() -> Any:
            to = f"{host}/demo/m:v1"
            return push_image(oci, "pushed", to, oci.environ, on_transfer=lambda *numbers: transfers.append(numbers))

        assert push().sent > 1_000_000
        assert push().sent == 0
        monkeypatch.setitem(FILES, f"{MODEL}/train.py", FILES[f"{MODEL}/train.py"] + "# changed\n")
        oci.build(stage("train"), tag="pushed")
        assert push().sent <= 8_000


@pytest.fixture
def tiny(tmp_path: Path) -> dict[str, str]:
    """The environment of builds that need no network: a base of this machine's Python, wheels made on the spot."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "six", "1.0", module="PY3 = True\n")
    made = Layout(tmp_path / "base")
    made.tag(make_image(made, [pack_layer(*own_python(), file("etc/passwd", b"root:x:0:0::/:/bin/sh\n"))]), "py")
    own = {"MODELYARD_HOME": str(tmp_path / "tiny"), "MODELYARD_BASE_IMAGE": f"oci:{made.root}:py"}
    uv = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")}
    return {**os.environ, **own, **uv}


def start_build(environ: Mapping[str, str], context: BuildContext) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", BUILD, "oci", str(context.root), "killed"]
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_after_thirty_kills_a_build_succeeds_and_the_layout_is_whole(tiny, stage):
    context = stage("train")
    began = time.monotonic()
    whole = start_build({**tiny, "MODELYARD_HOME": f"{tiny['MODELYARD_HOME']}-whole"}, context)
    assert "reused=False" in whole.communicate(timeout=120)[0]
    most = time.monotonic() - began
    chance = random.Random(1)
    for _ in range(KILLS):
        build = start_build(tiny, context)
        time.sleep(chance.uniform(0.1, most))
        build.kill()
        build.communicate(timeout=60)
        assert Layout(Path(tiny["MODELYARD_HOME"], "oci")).verify() == []
    last = start_build(tiny, context)
    output = last.communicate(timeout=120)[0]
    assert last.returncode == 0, output
    engine = open_engine("oci", tiny)
    assert isinstance(engine, OciEngine)
    assert engine.layout.verify() == []
    engine.remove("killed")
    engine.prune()
    assert list(engine.layout.blobs.iterdir()) == []
    assert list((engine.home.root / "layers").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="A FULL DISK NOT TESTED: only root may mount a small one")
def test_full_disk_is_an_error_that_says_so_and_leaves_the_layout_whole(tiny, stage, tmp_path):
    """In a mount namespace of its own, with a home of 4 MB."""
    home = tmp_path / "small"
    home.mkdir()
    script = (
        f"mount -t tmpfs -o size=4m none {home} && {sys.executable} -c "
        '"$BUILD" oci "$CONTEXT" full; code=$?; '
        f"find {home} -name '*.part' -o -name '*.scratch'; "
        f'{sys.executable} -c "from modelyard.engines.oci.layout import Layout; from pathlib import Path; '
        f"print('wrong:', Layout(Path('{home}/oci')).verify())\"; exit $code"
    )
    variables = {**tiny, "MODELYARD_HOME": str(home), "BUILD": BUILD, "CONTEXT": str(stage("train").root)}
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=variables, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"A FULL DISK NOT TESTED: {done.stderr.strip()}")
    assert done.returncode != 0
    assert "No space left on device" in done.stderr + done.stdout
    assert "modelyard prune" in done.stderr + done.stdout
    assert "wrong: []" in done.stdout
    assert ".part" not in done.stdout
    assert ".scratch" not in done.stdout
