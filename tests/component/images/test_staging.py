"""Requirements laid out on this machine for an image: what the layers hold, and what they never hold."""

import base64
import hashlib
import os
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.context.build_context import BuildContext
from modelyard.context.staging import stage_model
from modelyard.engines.protocols import discard
from modelyard.errors import BuildError, EngineError
from modelyard.images.distributions import find_stray, read_distributions
from modelyard.images.interpreter import Interpreter
from modelyard.images.shelves import arrange
from modelyard.images.staging import NeedsContainerError, Stage, open_stage
from tests.component.requirements.wheels import make_wheel

MODEL = "projects/demo/m"
VERSION = ".".join(map(str, sys.version_info[:3]))
MINOR = ".".join(map(str, sys.version_info[:2]))
SITE = f"lib/python{MINOR}/site-packages"
IMAGE = Interpreter(version=VERSION, machine="x86_64", libc="glibc 2.36", path=f"/usr/bin/python{MINOR}")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "arrays", "1.0", demolib__tests__test_x="x = 1\n", demolib__sets="x = 1 in {'a', 'b', 'c'}\n")
    make_wheel(folder, "forest", "1.0", "arrays")
    return folder


@pytest.fixture
def environ(wheels: Path, tmp_path: Path) -> dict[str, str]:
    settings = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")}
    own = {"HOME": str(tmp_path), "MODELYARD_HOME": str(tmp_path / "home"), "UV_NO_CONFIG": "1"}
    return {"PATH": os.environ["PATH"], **own, **settings}


@pytest.fixture
def stage_context(make_workspace, tmp_path: Path):
    """Stage a model of these requirements."""

    def run(requirements: str, **files: str) -> BuildContext:
        own = {"train.py": "def train(msg): pass\n", "requirements_train.txt": requirements, **files}
        texts = {f"{MODEL}/{name}": text for name, text in own.items()}
        workspace = make_workspace({f"{MODEL}/.s2i/environment": "TRAIN_MODULE=train\n", **texts})
        return stage_model(workspace, workspace.model_directory(workspace.root / MODEL), "train", tmp_path / "context")

    return run


@pytest.fixture
def install(stage_context, environ, tmp_path):
    """Install requirements on a stage of its own."""

    def run(requirements: str, name: str = "stage") -> Stage:
        context = stage_context(requirements)
        stage = open_stage(tmp_path / name, context, IMAGE, environ)
        stage.install(context, environ, discard)
        return stage

    return run


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isreg()}


def write(stage: Stage, folder: Path) -> list[dict[str, bytes]]:
    """The files of each layer."""
    folder.mkdir()
    shelves = arrange({"default": read_distributions(stage.root / "default")})
    for shelf in shelves:
        stage.compile(shelf.modules)
    return [contents(stage.write(folder / f"{n}.tar", shelf).path) for n, shelf in enumerate(shelves)]


def test_an_environment_of_the_image_s_python_holds_packages_without_their_tests(install, tmp_path):
    environment, packages = write(install("forest"), tmp_path / "layers")
    assert environment == {
        "opt/modelyard/environments/default/pyvenv.cfg": (
            f"home = /usr/bin\nimplementation = CPython\nversion_info = {VERSION}\n"
            "include-system-site-packages = false\n"
        ).encode()
    }
    root = "opt/modelyard/environments/default"
    tag = f"cpython-{MINOR.replace('.', '')}"
    found = {name.removeprefix(f"{root}/") for name in packages}
    assert found >= {"bin/forest", f"{SITE}/forest.py", f"{SITE}/__pycache__/forest.{tag}.pyc"}
    assert f"{SITE}/demolib/__pycache__/sets.{tag}.pyc" in found
    assert not any(word in name for name in found for word in ("tests", "REQUESTED", "uv_cache"))
    record = packages[f"{root}/{SITE}/arrays-1.0.dist-info/RECORD"].decode()
    assert "demolib/sets.py" in record
    assert "tests" not in record


def test_nothing_of_this_machine_is_in_a_layer(install, tmp_path, environ):
    layers = write(install("forest"), tmp_path / "layers")
    everything = b"".join(content for files in layers for content in files.values())
    assert b"/opt/modelyard/environments/default/lib" in everything
    assert os.fsencode(tmp_path) not in everything
    assert sys.prefix.encode() not in everything


def test_layers_come_out_the_same_cold_and_warm_and_whoever_asks_for_a_package(install, tmp_path):
    first = write(install("forest", "one"), tmp_path / "first")
    again = write(install("arrays\nforest", "two"), tmp_path / "again")
    assert again == first


def test_what_compiles_is_its_version_wherever_a_machine_has_it(install, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(sys.executable)
    assert replace(install(""), python=str(elsewhere)).compiler == VERSION


def test_what_has_no_wheel_needs_a_container(install, wheels):
    (wheels / "arrays-1.0-py3-none-any.whl").rename(wheels / "arrays-1.0-cp39-cp39-win32.whl")
    (wheels / "built-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(NeedsContainerError, match="not all of them have a wheel"):
        install("built")


def test_what_nobody_has_is_named_with_its_line(install):
    with pytest.raises(BuildError, match=r"requirements_train.txt:2: nothere") as error:
        install("forest\nnothere")
    assert not isinstance(error.value, NeedsContainerError)


@pytest.mark.parametrize(
    ("interpreter", "requirements", "files", "reason"),
    [
        (replace(IMAGE, libc="unknown"), "", {}, "no wheels are known for unknown on x86_64"),
        (IMAGE, "forest @ file:///tmp/forest-1.0.whl", {}, "requirements_train.txt names a file"),
        (IMAGE, "", {".python-version": "3.98"}, "requirements_train.txt is for Python 3.98"),
        (replace(IMAGE, version="3.98.1"), "", {}, "asks for Python 3.98, which is not on this machine"),
    ],
)
def test_what_cannot_be_laid_out_says_why(interpreter, requirements, files, reason, stage_context, environ, tmp_path):
    with pytest.raises(NeedsContainerError, match=reason):
        open_stage(tmp_path / "stage", stage_context(requirements, **files), interpreter, environ)


def test_a_file_that_no_record_lists_is_found(install):
    stage = install("forest")
    environment = stage.root / "default"
    assert find_stray(environment, read_distributions(environment)) is None
    (environment / SITE / "forgotten.so").touch()
    assert find_stray(environment, read_distributions(environment)) == f"{SITE}/forgotten.so"


def test_a_record_that_leaves_its_environment_is_an_error(install):
    environment = install("forest").root / "default"
    record = environment / SITE / "forest-1.0.dist-info" / "RECORD"
    record.unlink()
    record.write_text("../../../../../../../etc/passwd,,\n")
    with pytest.raises(EngineError, match="leaves the folder"):
        read_distributions(environment)


def test_a_content_without_a_hash_is_part_of_the_digest(install):
    environment = install("arrays").root / "default"
    record = environment / SITE / "arrays-1.0.dist-info" / "RECORD"
    record.unlink()
    record.write_text("arrays.py,,\n")
    (first,) = read_distributions(environment)
    (environment / SITE / "arrays.py").unlink()
    (environment / SITE / "arrays.py").write_text("other\n")
    (second,) = read_distributions(environment)
    assert (first.record, first.digest != second.digest) == (second.record, True)


def test_console_scripts_begin_with_the_python_of_the_image_and_record_has_their_hash(install, tmp_path):
    _, packages = write(install("forest"), tmp_path / "layers")
    root = "opt/modelyard/environments/default"
    script = packages[f"{root}/bin/forest"]
    assert script.splitlines()[0] == f"#!/{root}/bin/python".encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(script).digest()).rstrip(b"=")
    record = packages[f"{root}/{SITE}/forest-1.0.dist-info/RECORD"]
    assert b"../../../bin/forest,sha256=" + digest in record
    with tarfile.open(tmp_path / "layers" / "1.tar") as archive:
        assert archive.getmember(f"{root}/bin/forest").mode == 0o755
