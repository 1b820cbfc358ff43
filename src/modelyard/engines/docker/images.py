"""Application images that an engine of images keeps, as this tool's own images: found by their labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from modelyard.engines.delegation import as_tag, pick_image
from modelyard.engines.docker.client import Client
from modelyard.engines.protocols import Image
from modelyard.images.application import IMAGE_LABEL, KIND_LABEL, NAME_LABEL
from modelyard.images.namespace import Namespace
from modelyard.workspace import Kind


@dataclass(frozen=True)
class DockerImages:
    """What an engine's store holds of application images."""

    client: Client

    def all(self) -> tuple[Image, ...]:
        """Every application image, newest first."""
        found = [self.get(item["Id"]) for item in self.client.list_images(IMAGE_LABEL)]
        return tuple(sorted(found, key=lambda image: image.created, reverse=True))

    def with_key(self, key: str) -> Image | None:
        """The image of a plan's key."""
        listed = self.client.list_images(f"{IMAGE_LABEL}={key}")
        return self.get(listed[0]["Id"]) if listed else None

    def find(self, reference: str) -> Image:
        """The image of a tag, an id or the start of an id; raise EngineError where there is none, or more than one."""
        return pick_image(self.all(), reference)

    def get(self, id: str) -> Image:
        """The image of a whole id."""
        with self.client.talking(f"look at the image {id[:19]}"):
            return self._as_image(self.client.asks.inspect_image(f"sha256:{id.removeprefix('sha256:')}"))

    def tag(self, id: str, tag: str) -> None:
        """Let `tag` name the image `id`, whatever it named before."""
        name, _, version = self.client.namespace.reference(tag).rpartition(":")
        with self.client.talking(f"tag {tag}"):
            self.client.asks.tag(f"sha256:{id.removeprefix('sha256:')}", name, version)

    def remove(self, image: Image, reference: str) -> Image:
        """Take a tag off an image, and remove it with its last one or where it is named by its id."""
        tag = as_tag(reference)
        removed = [tag] if tag in image.tags else list(image.tags)
        with self.client.talking(f"remove {reference}"):
            for name in removed:
                self.client.api.remove_image(self.client.namespace.reference(name), noprune=True, force=True)
            if not removed:
                self.client.api.remove_image(f"sha256:{image.id}", noprune=True, force=True)
        left = tuple(name for name in image.tags if name not in removed)
        return replace(image, tags=left)

    def _as_image(self, found: Mapping[str, Any]) -> Image:
        return as_image(found, self.client.namespace)


def as_image(found: Mapping[str, Any], namespace: Namespace) -> Image:
    """An engine's own description of an image, in this tool's words."""
    labels = found["Config"].get("Labels") or {}
    variables = dict(line.partition("=")[::2] for line in found["Config"].get("Env") or ())
    return Image(
        id=found["Id"].removeprefix("sha256:"),
        tags=tuple(sorted(map(namespace.tag, found.get("RepoTags") or ()))),
        kind=cast(Kind, labels.get(KIND_LABEL, "predict")),
        name=labels.get(NAME_LABEL, ""),
        labels=labels,
        environment=variables,
        size=int(found["Size"]),
        created=parse_time((found.get("Metadata") or {}).get("LastTagTime"), found["Created"]),
    )


def parse_time(*texts: str | None) -> datetime:
    """The first time that was ever set: engines write year 1 for "never", and nanoseconds that Python has not."""
    for text in texts:
        if text and not text.startswith("0001-"):
            seconds, _, fraction = text.removesuffix("Z").partition(".")
            digits = fraction[:6] if fraction[:6].isdigit() else "0"
            moment = datetime.fromisoformat(seconds[:19]).replace(tzinfo=UTC)
            return moment.replace(microsecond=int(digits.ljust(6, "0")))
    return datetime.fromtimestamp(0, UTC)
