"""What an engine can do: build application images, run containers of them, keep images, send them to registries.

Each is a part of its own, since one engine need not do all; `engines.parts` asks for them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, Protocol, Self, runtime_checkable

from modelyard.context.build_context import BuildContext
from modelyard.context.lock import Target
from modelyard.engines.reference import check_container_name
from modelyard.errors import InputError
from modelyard.images.bill import Bill
from modelyard.machine.output import OnOutput as OnOutput
from modelyard.machine.output import discard as discard
from modelyard.workspace import Kind

if TYPE_CHECKING:
    from modelyard.engines.oci.address import Address
    from modelyard.engines.oci.credentials import Credential
    from modelyard.engines.oci.places import Place
    from modelyard.images.platforms import TargetPlatform

OnTransfer = Callable[[int, int], None]
"""Takes the bytes of a transfer that are done, and those there are."""

Part = Literal["builder", "runner", "store", "publisher", "exporter"]

Status = Literal["running", "exited"]


@dataclass(frozen=True, kw_only=True)
class Image:
    """An application image: what `build` made of a build context."""

    id: str
    tags: tuple[str, ...]
    kind: Kind
    name: str
    """The full name of the model directory or `all/` it was built from."""
    labels: Mapping[str, str]
    environment: Mapping[str, str]
    size: int
    """Bytes of its source and its environments; images that share an environment each count it."""
    created: datetime
    reused: bool = False
    """Nothing had changed: `build` found this image and started no process."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A run of an application image, going on or ended."""

    id: str
    name: str
    image: str
    """The image's id."""
    status: Status
    exit_code: int | None
    """None while it runs, and where its end was not seen (the machine went down)."""
    host: str | None
    port: int | None
    """Where it is published; None for a run that publishes nothing."""
    pid: int | None
    created: datetime


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder of this machine that a container sees at `target`, a path below its APP_ROOT such as `models`."""

    source: Path
    target: str
    read_only: bool = False

    def __post_init__(self) -> None:
        path = PurePosixPath(self.target)
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise InputError(
                f"{self.target!r} is no place to mount {self.source}", hint="name a folder below the application root"
            )


@dataclass(frozen=True, kw_only=True)
class PublishedPort:
    """Where a container answers on this machine; 0 stands for any free port."""

    port: int = 5111
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is made of; `image` is a tag, an id or the start of an id."""

    image: str
    _: KW_ONLY
    name: str | None = None
    """None: one made of the image's own name."""
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    published: PublishedPort | None = None
    """None for what answers nobody: a training, a job."""

    def __post_init__(self) -> None:
        if self.name is not None:
            check_container_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What `prune` removed."""

    images: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    builders: tuple[str, ...] = ()
    """Builder images that newer ones took the place of."""
    freed: int = 0
    """Bytes."""


@runtime_checkable
class ImageBuilder(Protocol):
    """Makes application images of build contexts."""

    def target(self, context: BuildContext) -> Target:
        """The platform and the Python that the requirements of `context` are installed for."""

    def build(self, context: BuildContext, *, tag: str, on_output: OnOutput = discard) -> Image:
        """Build `context`, tag the image and return it; an image of the same content is reused.

        Raises BuildError with the step, the exit code and the last lines, and leaves nothing half-made behind.
        """


@runtime_checkable
class ContainerRunner(Protocol):
    """Runs application images."""

    def run(self, spec: ContainerSpec, *, on_output: OnOutput = discard) -> int:
        """Run in the foreground until it ends, remove the container and return its exit code (128 + n for a signal).

        What interrupts the caller (Ctrl-C) stops the container.
        """

    def start(self, spec: ContainerSpec) -> Container:
        """Start in the background, published where the spec says so, and return at once; it outlives the caller.

        An ended container of the same name is replaced. Raises PortTakenError, and EngineError where a container of
        that name runs.
        """

    def check_port(self, host: str, port: int, *, leaving: str | None = None) -> None:
        """Raise PortTakenError where `start` would, were the container of the name `leaving` not running."""

    def containers(self, *, all: bool = False) -> tuple[Container, ...]:
        """The running containers, newest first; with `all` also those that ended."""

    def container(self, name: str) -> Container:
        """The container of that name or id; raise EngineError where there is none."""

    def logs(self, name: str, *, follow: bool = False) -> Iterator[str]:
        """The lines a container wrote; `follow` goes on until it ends."""

    def stop(self, name: str, *, grace: float | None = None) -> Container:
        """Ask a container to end, kill it after `grace` seconds, and return how it ended.

        By default it gets what its daemon gives to accepted requests, and some seconds to end.
        """


@runtime_checkable
class ImageStore(Protocol):
    """The application images that an engine keeps."""

    def images(self) -> tuple[Image, ...]:
        """Every image, newest first."""

    def inspect(self, reference: str) -> Image:
        """The image of that tag, id or start of an id; raise EngineError where there is none, or more than one."""

    def measure(self, reference: str) -> Bill:
        """What the size of an image is made of."""

    def remove(self, reference: str) -> Image:
        """Remove a tag, and with its last tag the image; raise EngineError for that while a container runs it."""

    def prune(self) -> Pruned:
        """Remove what nothing uses: ended containers, untagged images, environments of no image, what was half-made."""


@runtime_checkable
class ImagePublisher(Protocol):
    """Sends the images of an engine to registries."""

    def publish(
        self,
        reference: str,
        address: "Address",
        credential: "Credential | None",
        *,
        insecure: bool = False,
        on_transfer: OnTransfer,
    ) -> tuple[str, int | None]:
        """Push an image; return the digest that the registry has it by, and the bytes that were sent, where known."""


class Engine(Protocol):
    """A name, and some of the parts above."""

    @property
    def name(self) -> str:
        """`local`, `docker`."""

    @property
    def lacks(self) -> Mapping[Part, str]:
        """Why it lacks a part, in words of its own that follow its name; none where the usual words do."""


@runtime_checkable
class ImageExporter(Engine, Protocol):
    """Makes images for other machines than this one, and writes them into files."""

    def on(self, platform: "TargetPlatform") -> Self:
        """The same engine, building for a platform; what it builds has no tag until `join` gives it one."""

    def join(self, images: Sequence[Image], *, tag: str) -> Image:
        """Make one image of those for several platforms, and tag it; a single one is but tagged."""

    def export(self, reference: str, place: "Place") -> str:
        """Write an image to a folder or file of this machine; return its digest."""


@runtime_checkable
class Refresher(Protocol):
    """An engine that can give a running daemon new source."""

    def refresh(self, name: str, image: str) -> bool:
        """Put the source of `image` into a running container and have it load that.

        False, with nothing done, where the image differs in more than its source: then only a new container will do.
        """


@runtime_checkable
class Remover(Protocol):
    """An engine that can remove one container."""

    def remove_container(self, name: str) -> None:
        """Remove a container that has ended; raise EngineError where there is none of that name."""
