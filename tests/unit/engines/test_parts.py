"""Parts of an engine: who has which, and what one that lacks a part says."""

from typing import ClassVar

import pytest

from modelyard.engines import FACTORIES
from modelyard.engines.docker import DockerEngine
from modelyard.engines.local import LocalEngine
from modelyard.engines.oci.engine import OciEngine
from modelyard.engines.parts import (
    require_builder,
    require_exporter,
    require_publisher,
    require_runner,
    require_store,
)
from modelyard.engines.protocols import ContainerRunner, ImageBuilder, ImageExporter, ImagePublisher, ImageStore
from modelyard.errors import EngineError


class Bare:
    """An engine of no parts at all."""

    name = "bare"
    lacks: ClassVar = {}


class Wordy(Bare):
    """One that knows why."""

    lacks: ClassVar = {"runner": "runs nothing: it only packs"}


@pytest.mark.parametrize(
    ("require", "sentence", "way_out"),
    [
        (require_builder, "the engine bare builds no images", "one that builds: --engine local, docker or podman"),
        (require_runner, "the engine bare runs no containers", "one that runs them: --engine local, docker or podman"),
        (require_store, "the engine bare keeps no images", "one that keeps them: --engine local, docker or podman"),
        (require_publisher, "the engine bare has no images that a registry takes", "--engine docker, or podman"),
        (require_exporter, "the engine bare builds for its own machine alone, and writes no files", "--engine oci"),
    ],
)
def test_an_engine_that_lacks_a_part_says_so_and_which_has_it(require, sentence, way_out):
    with pytest.raises(EngineError) as error:
        require(Bare())
    assert error.value.message == sentence
    assert way_out in error.value.hint


def test_an_engine_says_in_its_own_words_what_it_lacks():
    with pytest.raises(EngineError, match="the engine wordy runs nothing: it only packs"):
        require_runner(type("Named", (Wordy,), {"name": "wordy"})())


def test_the_engines_that_hints_name_have_the_part():
    assert list(FACTORIES) == ["local", "docker", "podman", "oci"]
    for part in (ImageBuilder, ContainerRunner, ImageStore):
        assert issubclass(LocalEngine, part)
        assert issubclass(DockerEngine, part)
    for part in (ImageBuilder, ImageStore, ImagePublisher):
        assert issubclass(OciEngine, part)
    assert not issubclass(OciEngine, ContainerRunner)
    assert isinstance(OciEngine.from_environ({"HOME": "/nowhere"}), ImageExporter)
    assert issubclass(DockerEngine, ImagePublisher)
    assert not issubclass(LocalEngine, ImagePublisher)
