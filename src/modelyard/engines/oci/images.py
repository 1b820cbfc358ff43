"""The images of a home's layout: what they are for is said by the annotations of their descriptors in index.json."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from modelyard.engines.delegation import as_tag, pick_image
from modelyard.engines.oci.layout import NAME, Descriptor, Layout
from modelyard.engines.oci.registry import INDEX
from modelyard.engines.oci.weights import weigh_layer
from modelyard.engines.protocols import Image
from modelyard.errors import EngineError
from modelyard.images.application import IMAGE_LABEL, KIND_LABEL, NAME_LABEL
from modelyard.images.builder import ROLE_LABEL
from modelyard.images.namespace import Namespace
from modelyard.workspace import Kind

CREATED = "org.opencontainers.image.created"
APPLICATION = "application"


@dataclass(frozen=True)
class OciImages:
    """What a layout holds of application images, and what they were made of."""

    layout: Layout
    namespace: Namespace

    def entries(self, role: str | None = None) -> list[dict[str, Any]]:
        """The descriptors of the namespace, of one role or of all."""
        found = [each for each in self.layout.index if ROLE_LABEL in notes_of(each)]
        own = [each for each in found if self._holds(each)]
        return [each for each in own if role in (None, notes_of(each)[ROLE_LABEL])]

    def _holds(self, descriptor: Descriptor) -> bool:
        """Platforms are everybody's, as builder images are."""
        return notes_of(descriptor)[ROLE_LABEL] == "platform" or self.namespace.holds(notes_of(descriptor))

    def all(self) -> tuple[Image, ...]:
        """Every application image, newest first; those of an index are not listed beside it."""
        entries = self.entries(APPLICATION)
        parts = {digest for each in entries for digest in self.parts_of(each)}
        shown = {each["digest"]: each for each in entries if each["digest"] not in parts or NAME in notes_of(each)}
        images = [self._as_image(each, entries) for each in shown.values()]
        return tuple(sorted(images, key=lambda image: image.created, reverse=True))

    def parts_of(self, descriptor: Descriptor) -> list[str]:
        """The digests of the images of an index; none of a single image."""
        if descriptor["mediaType"] != INDEX:
            return []
        return [each["digest"] for each in self.layout.read_manifest(descriptor).document["manifests"]]

    def with_key(self, key: str, role: str = APPLICATION) -> dict[str, Any] | None:
        """The descriptor of what was made of a plan with that key, where all of it is still there."""
        for each in self.entries(role):
            if notes_of(each).get(IMAGE_LABEL) == key and self.is_whole(each):
                return each
        return None

    def is_whole(self, descriptor: Descriptor) -> bool:
        """Whether all blobs of an image are there."""
        try:
            return all(self.layout.has(each["digest"]) for each in self.layout.walk(descriptor))
        except EngineError:
            return False

    def find(self, reference: str) -> Image:
        """The image of a tag, an id or the start of an id; raise EngineError where there is none, or more than one."""
        return pick_image(self.all(), reference)

    def descriptor(self, image: Image) -> dict[str, Any]:
        """The descriptor of an image that is there."""
        return next(each for each in self.entries(APPLICATION) if self._id(each) == image.id)

    def get(self, descriptor: Descriptor) -> Image:
        """The image of a descriptor."""
        return self._as_image(descriptor, self.entries(APPLICATION))

    def keep(self, descriptor: Descriptor, *, role: str, key: str, tag: str | None = None) -> None:
        """Keep an image, found by its key from now on; `tag` names it, whatever that named before.

        What loses its last tag stays, without one, until it is pruned.
        """
        notes = {**self.namespace.labels, ROLE_LABEL: role, IMAGE_LABEL: key, CREATED: datetime.now(UTC).isoformat()}
        bare = {name: value for name, value in descriptor.items() if name != "annotations"}
        name = self.namespace.reference(tag) if tag is not None else None
        with self.layout.changing() as index:
            index[:] = _without_name(index, name) if name is not None else index
            if name is None and any(each["digest"] == bare["digest"] for each in index):
                return
            index[:] = [each for each in index if each["digest"] != bare["digest"] or NAME in notes_of(each)]
            index.append({**bare, "annotations": notes if name is None else {**notes, NAME: name}})

    def remove(self, image: Image, reference: str) -> Image:
        """Take a tag off an image, and remove it with its last one or where it is named by its id."""
        tag = as_tag(reference)
        removed = {tag} if tag in image.tags else set(image.tags)
        left = tuple(name for name in image.tags if name not in removed)
        digest = self.descriptor(image)["digest"]
        names = {self.namespace.reference(name) for name in removed}
        with self.layout.changing() as index:
            parts = {part for each in index if each["digest"] == digest and not left for part in self.parts_of(each)}
            gone = [each for each in index if _is_gone(each, digest, names, left)]
            gone += [each for each in index if each["digest"] in parts and NAME not in notes_of(each)]
            index[:] = [each for each in index if each not in gone]
        return replace(image, tags=left)

    def drop(self, descriptors: list[dict[str, Any]]) -> None:
        """Forget descriptors, with what they are called."""
        with self.layout.changing() as index:
            index[:] = [each for each in index if each not in descriptors]

    def config(self, descriptor: Descriptor) -> Mapping[str, Any]:
        """The configuration of an image; of an index, that of its first."""
        document = self.layout.read_manifest(self.first(descriptor)).document
        return cast(Mapping[str, Any], json.loads(self.layout.read(document["config"]["digest"])))

    def first(self, descriptor: Descriptor) -> Descriptor:
        """The image itself; of an index, its first."""
        if descriptor["mediaType"] != INDEX:
            return descriptor
        return cast(Descriptor, self.layout.read_manifest(descriptor).document["manifests"][0])

    def _id(self, descriptor: Descriptor) -> str:
        """What engines call it, the digest of its configuration; an index is in no engine, and has its own."""
        if descriptor["mediaType"] == INDEX:
            return str(descriptor["digest"]).removeprefix("sha256:")
        digest = self.layout.read_manifest(descriptor).document["config"]["digest"]
        return str(digest).removeprefix("sha256:")

    def _as_image(self, descriptor: Descriptor, entries: list[dict[str, Any]]) -> Image:
        config = self.config(descriptor)["config"]
        labels = config.get("Labels") or {}
        same = [notes_of(each) for each in entries if each["digest"] == descriptor["digest"]]
        return Image(
            id=self._id(descriptor),
            tags=tuple(sorted(self.namespace.tag(each[NAME]) for each in same if NAME in each)),
            kind=cast(Kind, labels.get(KIND_LABEL, "predict")),
            name=labels.get(NAME_LABEL, ""),
            labels=labels,
            environment=dict(line.partition("=")[::2] for line in config.get("Env") or ()),
            size=sum(weigh_layer(self.layout, layer) for layer in self.layers_of(descriptor)),
            created=max(datetime.fromisoformat(each[CREATED]) for each in same),
        )

    def layers_of(self, descriptor: Descriptor) -> Iterator[Descriptor]:
        """The layers of an image, each once; of an index those of all its images."""
        seen = set()
        for each in self.layout.walk(descriptor):
            if "layer" in each["mediaType"] or "rootfs" in each["mediaType"]:
                if each["digest"] not in seen:
                    yield each
                seen.add(each["digest"])


def notes_of(descriptor: Descriptor) -> Mapping[str, str]:
    """The annotations of a descriptor."""
    return cast(Mapping[str, str], descriptor.get("annotations") or {})


def _without_name(index: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The index with a name taken off what has it; that stays without one, unless it has another."""
    left = [each for each in index if notes_of(each).get(NAME) != name]
    kept = {each["digest"] for each in left}
    for each in index:
        if notes_of(each).get(NAME) == name and each["digest"] not in kept and ROLE_LABEL in notes_of(each):
            notes = {key: value for key, value in notes_of(each).items() if key != NAME}
            left.append({**each, "annotations": notes})
    return left


def _is_gone(descriptor: Descriptor, digest: str, names: set[str], left: tuple[str, ...]) -> bool:
    if descriptor["digest"] != digest or ROLE_LABEL not in notes_of(descriptor):
        return False
    return not left or notes_of(descriptor).get(NAME) in names
