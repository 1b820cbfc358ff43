"""An engine at the Protocol that starts nothing, and a reporter that remembers."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.context.build_context import BuildContext
from modelyard.context.lock import Target
from modelyard.engines.protocols import Container, ContainerSpec, Image, OnOutput, Part, Pruned, discard
from modelyard.errors import EngineError, PortTakenError
from modelyard.images.bill import Bill, LayerSize, PackageSize

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Train = Callable[[Path, Mapping[str, str], OnOutput], int]


class RecordingReporter:
    """Remembers every line: steps as announced, output, and how they ended."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def step(self, text: str) -> Iterator["RecordingReporter"]:
        """Remember the announcement."""
        self.lines.append(text)
        yield self

    def note(self, text: str) -> None:
        """Remember a line."""
        self.lines.append(text)

    output = done = note


class FakeEngine:
    """Images are digests of their contexts; `train` plays the container of a run, `containers` those that serve."""

    name = "fake"
    lacks: Mapping[Part, str] = {}
    spec: ContainerSpec
    """What it was told last to run or to serve."""

    def __init__(self) -> None:
        self.built: dict[str, Image] = {}
        self.calls: list[str] = []
        self.train: Train = save_mean
        self.serving: dict[str, Container] = {}
        self.log: list[str] = []
        self.exits_with: int | None = None
        self.runtime = ""
        """The modelyard that it puts into images, as the start of their ids."""

    def build(self, context: BuildContext, *, tag: str, on_output: OnOutput = discard) -> Image:
        """Make an image of the context's digest."""
        self.calls.append(f"build {tag}")
        image = replace(
            make_image(self.runtime + context.source_digest, tag, kind=context.kind, name=context.name),
            environment={"MODELYARD_SOURCE_DIGEST": context.source_digest},
        )
        before = self.built.get(image.id)
        tags = {tag, *(before.tags if before else ())}
        self.built[image.id] = replace(image, tags=tuple(sorted(tags)))
        return replace(self.built[image.id], reused=before is not None)

    def target(self, context: BuildContext) -> Target:
        """Some machine."""
        return Target(python="3.11", platform="x86_64-unknown-linux-gnu")

    def inspect(self, reference: str) -> Image:
        """The image of a tag."""
        for image in self.built.values():
            if reference in image.tags:
                return image
        raise EngineError(f"there is no image {reference!r}", hint="build it")

    def run(self, spec: ContainerSpec, *, on_output: OnOutput = discard) -> int:
        """Let `train` play the run; its folder is the one that holds data/ and models/."""
        self.calls.append("run")
        self.spec = spec
        return self.train(spec.mounts[0].source.parent, spec.environment, on_output)

    def start(self, spec: ContainerSpec) -> Container:
        """Remember a container."""
        assert spec.name
        assert spec.published
        self.calls.append(f"serve {spec.name}")
        self.spec = spec
        container = make_container(spec.name, image=spec.image, host=spec.published.host, port=spec.published.port)
        if self.exits_with is not None:
            container = replace(container, status="exited", exit_code=self.exits_with)
        self.serving[spec.name] = container
        return container

    def check_port(self, host: str, port: int, *, leaving: str | None = None) -> None:
        """Every port is free that no other container has."""
        if any(item.port == port and item.name != leaving for item in self.containers()):
            raise PortTakenError(f"port {port} on {host} is taken")

    def containers(self, *, all: bool = False) -> tuple[Container, ...]:
        """Those that run."""
        return tuple(item for item in self.serving.values() if all or item.status == "running")

    def container(self, name: str) -> Container:
        """The one of a name."""
        return self.serving[name]

    def logs(self, name: str, *, follow: bool = False) -> Iterator[str]:
        """What it is said to have written."""
        yield from self.log

    def stop(self, name: str, *, grace: float | None = None) -> Container:
        """Remember that it was stopped."""
        if name not in self.serving:
            raise EngineError(f"there is no container {name!r}", hint="look for it")
        self.calls.append(f"stop {name}")
        self.serving[name] = replace(self.serving[name], status="exited", exit_code=self.exits_with or 0)
        return self.serving[name]

    def measure(self, reference: str) -> Bill:
        """One layer and one package."""
        size = self.inspect(reference).size
        package = PackageSize(environment="default", name="numpy", version="2.0", size=size - 1)
        return Bill(size=size, layers=(LayerSize(title="requirements: numpy", size=size),), packages=(package,))

    def images(self) -> tuple[Image, ...]:
        """Every image."""
        return tuple(self.built.values())

    def remove(self, reference: str) -> Image:
        """Forget a tag, and with its last tag the image."""
        image = self.inspect(reference)
        left = replace(image, tags=tuple(tag for tag in image.tags if tag != reference))
        self.built[image.id] = left
        return left if left.tags else self.built.pop(image.id)

    def prune(self) -> Pruned:
        """Do nothing."""
        return Pruned()


class PackingEngine:
    """An engine that builds and keeps images, and runs none of them."""

    name = "packing"
    lacks: Mapping[Part, str] = {}

    def __init__(self, whole: FakeEngine) -> None:
        self.calls = whole.calls
        for method in ("build", "target", "images", "inspect", "measure", "remove", "prune"):
            setattr(self, method, getattr(whole, method))


def make_image(id: str, tag: str, *, kind: Any = "predict", name: str = "income/rf") -> Image:
    """An image with nothing of interest in it."""
    return Image(id=id, tags=(tag,), kind=kind, name=name, labels={}, environment={}, size=1_234_567, created=NOW)


def make_container(name: str, *, image: str = "sha", host: str = "127.0.0.1", port: int = 5111) -> Container:
    """A container that runs."""
    return Container(
        id=f"id-of-{name}",
        name=name,
        image=image,
        status="running",
        exit_code=None,
        host=host,
        port=port,
        pid=1,
        created=NOW,
    )


def save_mean(project: Path, environment: Mapping[str, str], on_output: OnOutput) -> int:
    """Play a train function that does everything right."""
    payload = json.loads(environment["PAYLOAD"])
    data = (project / payload["$ref"]).read_bytes() if "$ref" in payload else b""
    name = payload["model_name"]
    (project / "models" / f"{name}.bin").write_bytes(b"a model")
    manifest = {
        "file": f"{name}.bin",
        "sha256": hashlib.sha256(b"a model").hexdigest(),
        "metrics": {"accuracy": 0.75},
        "data": {"sha256": hashlib.sha256(data).hexdigest()},
        "source_digest": environment["MODELYARD_SOURCE_DIGEST"],
    }
    (project / "models" / f"{name}.json").write_text(json.dumps(manifest))
    on_output("training")
    on_output('{"accuracy": 0.75}')
    return 0
