"""The engine that runs nothing: what it builds on a base image of this machine's Python, of wheels made on the spot."""

import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from modelyard.commands.building import Limits
from modelyard.commands.exporting import Destination, build_for
from modelyard.context.build_context import BuildContext
from modelyard.context.lock import find_locks
from modelyard.context.staging import stage_model
from modelyard.engines import open_engine
from modelyard.engines.oci.bases import open_base
from modelyard.engines.oci.engine import OciEngine
from modelyard.engines.oci.layout import Layout
from modelyard.engines.oci.places import Place
from modelyard.engines.oci.weights import weigh_layer
from modelyard.errors import BuildError, EngineError, InputError
from modelyard.images.platforms import TargetPlatform
from modelyard.workspace import Kind
from tests.base_images import ARCHITECTURE, file, make_image, make_index, own_python, pack_layer
from tests.component.requirements.wheels import make_wheel

MODEL = "projects/demo/m"
SOURCE = "import forest\ndef train(msg): return {'forest': forest.VERSION}\n"
OTHER = {"amd64": "arm64"}.get(ARCHITECTURE, "amd64")
ELF_MACHINE = {"amd64": 0x3E, "arm64": 0xB7}
HERE = TargetPlatform(architecture=ARCHITECTURE)
PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"


class Quiet:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def step(self, title: str) -> "Quiet":
        self.lines.append(title)
        return self

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def output(self, line: str) -> None:
        self.lines.append(line)

    done = output


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A layout with a base image of this machine's Python, alone and in an index."""
    made = Layout(tmp_path_factory.mktemp("base"))
    status = b"Package: libgomp1\nStatus: install ok installed\nVersion: 12.2\n\n"
    own = [file("etc/passwd", PASSWD), file("etc/shadow", b"root:*::::::\n", mode=0o640)]
    layer = pack_layer(*own_python(), *own, file("var/lib/dpkg/status", status))
    image = make_image(made, [layer], Env=["PATH=/usr/bin:/bin", "LANG=C"], Cmd=["python3"])
    made.tag(image, "py")
    members = [as_other(*each) for each in (*own_python(), *own)]
    other = make_image(made, [pack_layer(*members)], architecture=OTHER, Env=["PATH=/usr/bin:/bin"])
    made.tag(make_index(made, {ARCHITECTURE: image, OTHER: other}), "both")
    return made.root


def as_other(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    """A file, and where it is a program, one that says that it is for another processor."""
    if not content.startswith(b"\x7fELF"):
        return member, content
    return member, content[:18] + ELF_MACHINE[OTHER].to_bytes(2, "little") + content[20:]


def make_native_wheel(folder: Path, name: str, architecture: str) -> None:
    """A wheel for one processor; its library is a program header that says so."""
    machine = TargetPlatform(architecture=architecture).machine
    library = b"\x7fELF" + bytes(14) + ELF_MACHINE[architecture].to_bytes(2, "little") + bytes(44)
    plain = make_wheel(folder, name, "1.0")
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(folder / f"{name}-1.0-py3-none-manylinux_2_17_{machine}.whl", "w") as new,
    ):
        for item in old.namelist():
            text = old.read(item).decode().replace("py3-none-any", f"py3-none-manylinux_2_17_{machine}")
            text += f"{name}.so,,\n" if item.endswith("RECORD") else ""
            new.writestr(item, text if not item.endswith("RECORD") else _unhashed(text))
        new.writestr(f"{name}.so", library)
    plain.unlink()


def _unhashed(record: str) -> str:
    return "".join(f"{line.partition(',')[0]},,\n" for line in record.splitlines())


@pytest.fixture(scope="module")
def warm(base: Path, tmp_path_factory) -> Path:
    """A home that knows the base image: reading it takes longer than all that a test does."""
    home = tmp_path_factory.mktemp("warm")
    found = open_base(f"oci:{base}:py", HERE, {}, Layout(home / "oci"))
    assert found.interpreter.version
    assert weigh_layer(found.layout, found.layers[0]) > 0
    return home


@pytest.fixture
def environ(base: Path, warm: Path, tmp_path: Path) -> dict[str, str]:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "arrays", "1.0")
    make_wheel(wheels, "forest", "1.0", "arrays")
    shutil.copytree(warm, tmp_path / "home", copy_function=os.link)
    uv = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv"), "UV_NO_CONFIG": "1"}
    own = {"HOME": str(tmp_path), "MODELYARD_HOME": str(tmp_path / "home"), "MODELYARD_BASE_IMAGE": f"oci:{base}:py"}
    return {"PATH": os.environ["PATH"], **own, **uv}


@pytest.fixture
def engine(environ: dict[str, str]) -> OciEngine:
    opened = open_engine("oci", environ)
    assert isinstance(opened, OciEngine)
    return opened


@pytest.fixture
def stage(make_workspace, tmp_path: Path):
    count = 0

    def run(source: str = SOURCE, requirements: str = "forest", kind: Kind = "train", **files: str) -> BuildContext:
        nonlocal count
        count += 1
        own = {f"{kind}.py": source, f"requirements_{kind}.txt": requirements, **files}
        entry = "TRAIN_MODULE=train\n" if kind == "train" else "ROUTES=m:predict:predict\n"
        texts = {f"{MODEL}/{name}": text for name, text in own.items()}
        workspace = make_workspace({f"{MODEL}/.s2i/environment": entry, **texts})
        directory = workspace.model_directory(workspace.root / MODEL)
        return stage_model(workspace, directory, kind, tmp_path / f"context-{count}")

    return run


def read_files(engine: OciEngine, tag: str) -> dict[str, tarfile.TarInfo]:
    """The members of all layers, by their names; upper ones in place of lower ones."""
    document = engine.layout.read_manifest(engine.layout.find(f"{tag}:latest") or {}).document
    found = {}
    for layer in document["layers"]:
        with tarfile.open(engine.layout.path(layer["digest"])) as archive:
            found |= {member.name: member for member in archive}
    return found


def read_libraries(engine: OciEngine, layer: dict[str, str]) -> list[bytes]:
    """The libraries of a layer of packages."""
    with tarfile.open(engine.layout.path(layer["digest"])) as archive:
        found = [member for member in archive if member.name.endswith("native.so")]
        return [archive.extractfile(member).read() for member in found]  # type: ignore[union-attr]


class TestBuilding:
    def test_image_has_base_platform_requirements_and_source(self, engine, stage):
        image = engine.build(stage(), tag="demo/m")
        assert (image.kind, image.name, image.tags, image.reused) == ("train", "demo/m", ("demo/m:latest",), False)
        files = read_files(engine, "demo/m")
        root = "opt/modelyard/environments/default"
        site = next(name for name in files if name.endswith("/forest.py")).removesuffix("/forest.py")
        assert files["model/train.py"].uid == 1001
        assert files[f"{root}/bin/python"].linkname.startswith("/")
        assert f"{site}/arrays.py" in files
        assert files["etc/shadow"].mode == 0o640
        config = json.loads(engine.layout.read(f"sha256:{image.id}"))
        assert config["config"]["Cmd"] == ["/usr/libexec/s2i/run"]
        assert config["config"]["User"] == "1001"
        assert config["config"]["WorkingDir"] == "/model"
        assert config["config"]["Env"][0] == "PATH=/usr/bin:/bin"
        assert engine.layout.verify() == []

    def test_nothing_changed_is_found_again(self, engine, stage):
        first = engine.build(stage(), tag="one")
        again = engine.build(stage(), tag="two")
        assert again.reused
        assert (again.id, again.tags) == (first.id, ("one:latest", "two:latest"))

    def test_changed_line_installs_and_compresses_nothing_of_the_requirements(self, engine, stage):
        engine.build(stage(), tag="one")
        before = {path.name for path in engine.layout.blobs.iterdir() if not path.name.startswith(".")}
        lines: list[str] = []
        image = engine.build(stage(SOURCE.replace("'forest'", "'changed'")), tag="one", on_output=lines.append)
        assert not image.reused
        assert not any("Installed" in line for line in lines)
        added = [path for path in engine.layout.blobs.iterdir() if path.name not in before and path.name[0] != "."]
        assert sum(path.stat().st_size for path in added) < 16_000

    def test_package_that_two_sets_of_requirements_share_is_written_once(self, engine, stage, environ, monkeypatch):
        monkeypatch.setattr("modelyard.images.shelves.LARGE", 0)  # each has a layer of its own
        engine.build(stage(), tag="one")
        lines: list[str] = []
        engine.build(stage("def train(msg): pass\n", requirements="arrays"), tag="two", on_output=lines.append)
        assert "---> requirements: 2 layers, 0 of them new" in lines

    def test_two_homes_make_the_same_digest(self, engine, stage, environ, tmp_path):
        first = engine.build(stage(), tag="one")
        other = open_engine("oci", {**environ, "MODELYARD_HOME": str(tmp_path / "other"), "TZ": "Asia/Tokyo"})
        second = other.build(stage(), tag="one")
        assert second.id == first.id
        digests = [each.layout.find("one:latest")["digest"] for each in (engine, other)]
        assert digests[0] == digests[1]

    def test_predict_image_has_the_gateway_of_its_own(self, engine, stage, environ, make_workspace):
        context = stage("import forest\ndef predict(msg): return {}\n", kind="predict")
        lines: list[str] = []
        with pytest.raises(BuildError, match=r"builders/daemon/requirements.txt"):
            engine.build(context, tag="served", on_output=lines.append)  # these wheels are not here
        assert engine.images() == ()

    def test_requirement_without_a_wheel_names_line_platform_and_ways_out(self, engine, stage, tmp_path):
        archive = tmp_path / "wheels" / "onlysource-1.0.tar.gz"
        about = b"Metadata-Version: 2.1\nName: onlysource\nVersion: 1.0\n"
        with tarfile.open(archive, "w:gz") as target:
            member, content = file("onlysource-1.0/PKG-INFO", about)
            import io

            target.addfile(member, io.BytesIO(content))
        with pytest.raises(BuildError) as error:
            engine.build(stage(requirements="forest\nonlysource"), tag="one")
        assert f"linux/{ARCHITECTURE}" in error.value.message
        assert "requirements_train.txt:2: onlysource" in error.value.message
        assert "ENGINE=docker" in error.value.hint

    def test_missing_requirement_names_the_import(self, engine, stage):
        with pytest.raises(BuildError, match=r"train.py:1 imports 'forest', which no requirement provides"):
            engine.build(stage(requirements=""), tag="one")

    @pytest.mark.parametrize("tag", ["Upper", "a b", "", "../up"])
    def test_tag_that_is_no_reference_is_an_error(self, engine, stage, tag):
        with pytest.raises(InputError, match="is no image tag"):
            engine.build(stage(), tag=tag)

    def test_an_assemble_of_its_own_is_refused(self, engine, stage):
        context = stage()
        (context.scripts / "assemble").write_text("#!/bin/bash\n")
        with pytest.raises(BuildError, match=r"its own .s2i/bin/assemble has to be run") as error:
            engine.build(context, tag="one")
        assert "ENGINE=docker" in error.value.hint


class TestSetup:
    def test_script_is_refused_by_name_with_the_ways_out(self, engine, stage):
        with pytest.raises(BuildError, match=r"projects/demo/m/setup.sh: it has to be run") as error:
            engine.build(stage(**{"setup.sh": "curl https://example.org | sh\n"}), tag="one")
        assert "ENGINE=docker" in error.value.hint
        assert "MODELYARD_BASE_IMAGE" in error.value.hint

    def test_missing_debian_packages_are_named_with_the_base_image_that_has_them(self, engine, stage):
        with pytest.raises(BuildError, match="lacks libxml2") as error:
            engine.build(
                stage(**{"setup.sh": "set -e\napt-get update\napt-get install -y libxml2 libgomp1\n"}), tag="o"
            )
        assert 'make base-image ENGINE=oci PACKAGES="libxml2 libgomp1"' in error.value.hint

    def test_debian_packages_that_the_base_image_has_are_no_reason(self, engine, stage):
        lines: list[str] = []
        script = "apt-get update && \\\n  apt-get install -y --no-install-recommends libgomp1  # for forests\n"
        engine.build(stage(**{"setup.sh": script}), tag="one", on_output=lines.append)
        assert any("has libgomp1, which is all that projects/demo/m/setup.sh installs" in line for line in lines)

    def test_who_says_so_leaves_it_out(self, stage, environ):
        engine = open_engine("oci", {**environ, "MODELYARD_SKIP_SETUP": "1"})
        assert engine.build(stage(**{"setup.sh": "make install\n"}), tag="one").tags == ("one:latest",)


class TestStore:
    def test_tag_moves_and_what_it_named_stays_until_it_is_pruned(self, engine, stage):
        first = engine.build(stage(), tag="one")
        second = engine.build(stage(SOURCE + "# 2\n"), tag="one")
        assert engine.inspect("one").id == second.id
        assert engine.inspect(first.id[:12]).tags == ()
        assert engine.prune().images == (first.id,)
        assert [image.id for image in engine.images()] == [second.id]
        assert engine.layout.verify() == []

    def test_image_goes_with_its_last_tag_and_its_own_blobs(self, engine, stage):
        engine.build(stage(), tag="one")
        engine.build(stage(), tag="two")
        assert engine.remove("one").tags == ("two:latest",)
        kept = engine.build(stage(SOURCE + "# 2\n"), tag="kept")
        before = sum(path.stat().st_size for path in engine.layout.blobs.iterdir())
        engine.remove("two")
        assert sum(path.stat().st_size for path in engine.layout.blobs.iterdir()) < before
        assert [image.id for image in engine.images()] == [kept.id]
        assert engine.layout.verify() == []

    def test_prune_of_a_store_without_images_leaves_nothing(self, engine, stage):
        engine.build(stage(), tag="one")
        engine.remove("one")
        pruned = engine.prune()
        assert (len(pruned.environments), len(pruned.builders)) == (1, 1)
        assert pruned.freed > 0
        assert list(engine.layout.blobs.iterdir()) == []
        assert engine.build(stage(), tag="one").tags == ("one:latest",)

    def test_size_is_billed_by_layer_and_by_package(self, engine, stage):
        image = engine.build(stage(), tag="one")
        bill = engine.measure("one")
        assert bill.size == image.size
        assert sum(layer.size for layer in bill.layers) == image.size
        assert {"forest", "arrays"} <= {package.name for package in bill.packages}
        assert any(layer.title.startswith("source: demo/m") for layer in bill.layers)

    def test_namespaces_do_not_see_each_other(self, engine, stage, environ):
        engine.build(stage(), tag="one")
        other = open_engine("oci", {**environ, "MODELYARD_NAMESPACE": "ci-7"})
        assert other.images() == ()
        other.build(stage(), tag="one")
        assert [image.tags for image in other.images()] == [("one:latest",)]
        assert engine.inspect("one").id != other.inspect("one").id

    def test_unknown_image_lists_those_there_are(self, engine, stage):
        engine.build(stage(), tag="one")
        with pytest.raises(EngineError, match=r"there is no image 'onne' \(images: one:latest\)"):
            engine.inspect("onne")


class TestPlatforms:
    def test_platform_that_the_base_has_not_got_lists_those_it_has(self, stage, environ, base):
        engine = open_engine("oci", {**environ, "MODELYARD_BASE_IMAGE": f"oci:{base}:both"})
        other = TargetPlatform(architecture="s390x")
        with pytest.raises(EngineError, match=r"has no image for linux/s390x") as error:
            build_for(Destination(platforms=(HERE, other)), stage(), Limits(), tag="o", engine=engine, reporter=Quiet())
        assert f"linux/{ARCHITECTURE}" in error.value.hint
        assert all(image.tags == () for image in engine.images())

    def test_index_has_for_each_platform_the_wheels_of_that_one(self, stage, environ, base, tmp_path):
        for architecture in (ARCHITECTURE, OTHER):
            make_native_wheel(tmp_path / "wheels", "native", architecture)
        engine = open_engine("oci", {**environ, "MODELYARD_BASE_IMAGE": f"oci:{base}:both"})
        destination = Destination(platforms=(HERE, TargetPlatform(architecture=OTHER)))
        context = stage("import native\n" + SOURCE, requirements="forest\nnative")
        image = build_for(destination, context, Limits(), tag="two", engine=engine, reporter=Quiet())
        assert [each.id for each in engine.images()] == [image.id]
        index = engine.layout.read_manifest(engine.layout.find("two:latest")).document
        assert [each["platform"]["architecture"] for each in index["manifests"]] == [ARCHITECTURE, OTHER]
        layers = [engine.layout.read_manifest(each).document["layers"] for each in index["manifests"]]
        for architecture, own in zip((ARCHITECTURE, OTHER), layers, strict=True):
            (library,) = [content for layer in own for content in read_libraries(engine, layer)]
            assert int.from_bytes(library[18:20], "little") == ELF_MACHINE[architecture]
        again = build_for(destination, context, Limits(), tag="two", engine=engine, reporter=Quiet())
        assert (again.reused, again.id) == (True, image.id)
        assert engine.prune().images == ()
        assert engine.layout.verify() == []
        engine.remove("two")
        assert engine.images() == ()

    def test_requirement_without_a_wheel_for_one_platform_is_an_error_and_nothing_is_tagged(
        self, stage, environ, base, tmp_path
    ):
        make_native_wheel(tmp_path / "wheels", "native", ARCHITECTURE)
        engine = open_engine("oci", {**environ, "MODELYARD_BASE_IMAGE": f"oci:{base}:both"})
        destination = Destination(platforms=(HERE, TargetPlatform(architecture=OTHER)))
        with pytest.raises(BuildError, match=rf"(?s)for linux/{OTHER} .*requirements_train.txt:2: native") as error:
            build_for(
                *(destination, stage(requirements="forest\nnative"), Limits()),
                tag="two",
                engine=engine,
                reporter=Quiet(),
            )
        assert "leave the platform out" in error.value.hint
        assert [image.tags for image in engine.images()] in ([], [()])

    def test_each_platform_has_a_lock_of_its_own(self, stage, environ, base, make_workspace):
        engine = open_engine("oci", {**environ, "MODELYARD_BASE_IMAGE": f"oci:{base}:both"})
        context = stage()
        other = engine.on(TargetPlatform(architecture=OTHER))
        (lock,) = find_locks(context, other.target(context))
        assert lock.path.name == f"requirements_train.linux-{OTHER}.lock"
        assert TargetPlatform(architecture=OTHER).machine in lock.platform
        (plain,) = find_locks(context, engine.target(context))
        assert plain.path.name == "requirements_train.lock"

    def test_one_platform_is_an_image_and_no_index(self, engine, stage, tmp_path):
        place = Place(kind="oci", path=tmp_path / "out")
        destination = Destination(platforms=(HERE,), place=place)
        image = build_for(destination, stage(), Limits(), tag="one", engine=engine, reporter=Quiet())
        assert image.tags == ("one:latest",)
        assert Layout(tmp_path / "out").verify() == []
        assert engine.build(stage(), tag="two").reused


def test_builds_of_the_same_at_once_make_it_once(engine, stage):
    from concurrent.futures import ThreadPoolExecutor

    contexts = [stage() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        images = list(pool.map(lambda context: engine.build(context, tag="same"), contexts))
    assert len({image.id for image in images}) == 1
    assert sorted(image.reused for image in images) == [False, True, True]
    assert engine.layout.verify() == []
