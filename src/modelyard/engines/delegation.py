"""What every engine does alike: hand runs and look-ups to its containers and images, and find a container by name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from modelyard.engines.protocols import Container, ContainerSpec, Image, OnOutput, Part, discard
from modelyard.engines.reference import normalise_tag
from modelyard.errors import EngineError, InputError
from modelyard.runtime.nearest import describe_choices

_TO_END = 5.0


class Containers(Protocol):
    """The containers of one engine."""

    def run(self, spec: ContainerSpec, *, on_output: OnOutput) -> int:
        """Run in the foreground; return the exit code."""

    def start(self, spec: ContainerSpec) -> Container:
        """Start in the background."""

    def check_port(self, host: str, port: int, *, leaving: str | None = None) -> int:
        """The port to publish, or PortTakenError; the container of the name `leaving` counts as ended."""

    def all(self) -> tuple[Container, ...]:
        """Every container, newest first."""

    def find(self, name: str) -> Container:
        """The container of a name, an id, or the start of an id."""

    def logs(self, name: str, *, follow: bool) -> Iterator[str]:
        """The lines it wrote; with `follow` until it ends."""

    def stop(self, name: str, *, grace: float | None) -> Container:
        """SIGTERM, and after `grace` seconds, or what `choose_grace` says, SIGKILL."""


class Images(Protocol):
    """The images of one engine."""

    def all(self) -> tuple[Image, ...]:
        """Every image, newest first."""

    def find(self, reference: str) -> Image:
        """The image of a tag, an id, or the start of an id."""


class DelegatingEngine:
    """The part of an engine that its `_containers` and `_images` do."""

    lacks: Mapping[Part, str] = {}
    """See Engine."""

    _containers: Containers
    _images: Images

    def run(self, spec: ContainerSpec, *, on_output: OnOutput = discard) -> int:
        """See ContainerRunner."""
        return self._containers.run(spec, on_output=on_output)

    def start(self, spec: ContainerSpec) -> Container:
        """See ContainerRunner."""
        return self._containers.start(spec)

    def check_port(self, host: str, port: int, *, leaving: str | None = None) -> None:
        """See ContainerRunner."""
        self._containers.check_port(host, port, leaving=leaving)

    def containers(self, *, all: bool = False) -> tuple[Container, ...]:
        """See ContainerRunner."""
        return tuple(item for item in self._containers.all() if all or item.status == "running")

    def container(self, name: str) -> Container:
        """See ContainerRunner."""
        return self._containers.find(name)

    def logs(self, name: str, *, follow: bool = False) -> Iterator[str]:
        """See ContainerRunner."""
        return self._containers.logs(name, follow=follow)

    def stop(self, name: str, *, grace: float | None = None) -> Container:
        """See ContainerRunner."""
        return self._containers.stop(name, grace=grace)

    def images(self) -> tuple[Image, ...]:
        """See ImageStore."""
        return self._images.all()

    def inspect(self, reference: str) -> Image:
        """See ImageStore."""
        return self._images.find(reference)

    def check_unused(self, image: Image, reference: str) -> None:
        """Raise EngineError where a container runs the image, and `reference` is not one of several tags of it."""
        if len(image.tags) > 1 and normalise_tag(reference) in image.tags:
            return
        users = [item.name for item in self.containers() if item.image == image.id]
        if users:
            raise EngineError(
                f"image {reference} is in use by container {', '.join(users)}", hint=f"modelyard stop {users[0]}"
            )


def choose_grace(environment: Mapping[str, str]) -> float:
    """The seconds that a container gets to end: its daemon's own, by STOP_TIMEOUT, and some more."""
    from modelyard.runtime.daemon.settings import Settings

    try:
        return float(environment.get("STOP_TIMEOUT") or Settings.stop_timeout) + _TO_END
    except ValueError:  # what the daemon has refused to start with
        return _TO_END


def pick_container(containers: Sequence[Container], name: str) -> Container:
    """The one of `containers` with that name, id, or start of an id; raise EngineError where there is not one."""
    matches = [item for item in containers if item.name == name] or [
        item for item in containers if name and item.id.startswith(name)
    ]
    if len(matches) == 1:
        return matches[0]
    known = describe_choices(name, (item.name for item in containers))
    what = f"{len(matches)} containers match {name!r}" if matches else f"there is no container {name!r}"
    raise EngineError(f"{what} (containers: {known})", hint="`modelyard ps --all` lists them")


def pick_image(images: Sequence[Image], reference: str) -> Image:
    """The one of `images` with that tag, id or start of an id; raise EngineError where there is not one."""
    tag = as_tag(reference)
    matches = [image for image in images if tag in image.tags] or [
        image for image in images if reference and image.id.startswith(reference.removeprefix("sha256:"))
    ]
    if len(matches) == 1:
        return matches[0]
    raise no_image(reference, images, matches=len(matches))


def no_image(reference: str, images: Sequence[Image], *, matches: int) -> EngineError:
    """Make the error of a reference that several images match, or none; it names those that there are."""
    known = describe_choices(reference, (tag for image in images for tag in image.tags), none="none yet")
    what = f"{matches} images start with {reference!r}" if matches else f"there is no image {reference!r}"
    return EngineError(f"{what} (images: {known})", hint="build it first, or name one of these")


def as_tag(reference: str) -> str:
    """A reference as the tag that it may be, in full; as it is where it can be none."""
    try:
        return normalise_tag(reference)
    except InputError:
        return reference
