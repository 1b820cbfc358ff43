"""Builds of lock files, on every engine: what was locked is installed, and nothing that differs from it."""

import json
from pathlib import Path

import pytest

from modelyard.commands.locking import use_locks, write_locks
from modelyard.engines.protocols import ContainerSpec
from modelyard.errors import BuildError
from tests.component.requirements.wheels import make_wheel
from tests.unit.commands.fakes import RecordingReporter

pytestmark = pytest.mark.integration

TRAIN = "import demolib\ndef train(msg): return demolib.VERSION\n"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch) -> Path:
    """A wheelhouse, which is all that there is to install from."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "demolib", "1.0")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def environ(wheels: Path, environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Builds are done elsewhere than locks: by a uv that has downloaded nothing yet."""
    return {**environ, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")}


@pytest.fixture
def locked(engine, stage_train):
    """Lock and stage a model that asks for demolib."""
    context = stage_train(TRAIN, requirements="demolib")
    list(write_locks(context, engine, RecordingReporter()))
    return use_locks(context, engine, RecordingReporter(), required=True)


def test_the_version_that_was_locked_is_installed(engine, locked, wheels):
    make_wheel(wheels, "demolib", "2.0")
    image = engine.build(locked, tag="demo/m")
    lines: list[str] = []
    assert engine.run(ContainerSpec(image.id, environment={"TRAIN": "1"}), on_output=lines.append) == 0
    assert json.loads(lines[-1]) == "1.0"


def test_a_file_that_is_not_the_one_that_was_locked_fails_the_build(engine, locked, wheels):
    make_wheel(wheels, "demolib", "1.0", module="VERSION = 'changed'\n")
    with pytest.raises(BuildError, match=r"requirements_train\.lock:3: demolib==1\.0") as error:
        engine.build(locked, tag="demo/m")
    assert "Hash mismatch" in error.value.message
    assert "modelyard lock" in str(error.value.hint)
    assert engine.images() == ()
