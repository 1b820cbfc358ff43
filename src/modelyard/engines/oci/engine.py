"""The engine without an engine: it builds, keeps, writes and pushes images in a layout, and runs nothing."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.context.lock import Target
from modelyard.engines.oci.address import Address
from modelyard.engines.oci.builder import OciBuilder
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.credentials import Credential
from modelyard.engines.oci.images import APPLICATION, OciImages, notes_of
from modelyard.engines.oci.layout import STORE_LOCK, Layout
from modelyard.engines.oci.places import Place, put
from modelyard.engines.oci.registry import INDEX, Registry
from modelyard.engines.protocols import Image, OnOutput, OnTransfer, Part, Pruned, discard
from modelyard.engines.reference import normalise_tag
from modelyard.images.application import IMAGE_LABEL
from modelyard.images.bill import Bill
from modelyard.images.namespace import Namespace
from modelyard.images.platforms import TargetPlatform, parse_platform
from modelyard.machine.home import Home, explaining_disk_errors


class OciEngine:
    """Images in the layout below a home; `platform` is what is built for."""

    name = "oci"
    lacks: Mapping[Part, str] = {
        "runner": "runs nothing: it makes images for others to run (modelyard push, or --output docker-archive:FILE)"
    }

    def __init__(
        self, home: Home, environ: Mapping[str, str], platform: TargetPlatform, *, is_part: bool = False
    ) -> None:
        self.home = home
        self.environ = environ
        self.platform = platform
        self._is_part = is_part

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "OciEngine":
        """Open the layout of the home that the environment names, to build for this machine's processor."""
        return cls(Home.from_environ(environ), environ, parse_platform(f"linux/{platform.machine()}"))

    @property
    def layout(self) -> Layout:
        """Where the images are."""
        return Layout(self.home.root / "oci")

    @property
    def _images(self) -> OciImages:
        return OciImages(self.layout, Namespace.from_environ(self.environ))

    @property
    def _builder(self) -> OciBuilder:
        return OciBuilder(self.home, self._images, self.environ, self.platform)

    # ---- builder

    def on(self, platform: TargetPlatform) -> Self:
        """See ImageExporter."""
        return type(self)(self.home, self.environ, platform, is_part=True)

    def target(self, context: BuildContext) -> Target:
        """See ImageBuilder."""
        with explaining_disk_errors(), self.home.lock(STORE_LOCK, shared=True):
            target = self._builder.base(context, discard).interpreter.target
        return replace(target, name=str(self.platform).replace("/", "-")) if self._is_part else target

    def build(self, context: BuildContext, *, tag: str, on_output: OnOutput = discard) -> Image:
        """See ImageBuilder."""
        tag = normalise_tag(tag)
        with explaining_disk_errors():
            descriptor, reused = self._builder.build(context, None if self._is_part else tag, on_output)
            return replace(self._images.get(descriptor), reused=reused)

    def join(self, images: Sequence[Image], *, tag: str) -> Image:
        """See ImageExporter."""
        tag = normalise_tag(tag)
        store = self._images
        with explaining_disk_errors(), self.home.lock(STORE_LOCK, shared=True):
            if len(images) == 1:
                descriptor = store.descriptor(images[0])
                key = notes_of(descriptor)[IMAGE_LABEL]
            else:
                manifests = [self._describe(store, each) for each in images]
                document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
                descriptor = self.layout.write_json(document, INDEX)
                key = digest_parts([descriptor["digest"].encode()])
            store.keep(descriptor, role=APPLICATION, key=key, tag=tag)
            return replace(store.get(descriptor), reused=all(each.reused for each in images))

    def _describe(self, store: OciImages, image: Image) -> dict[str, Any]:
        found = store.descriptor(image)
        config = store.config(found)
        platform = {key: config[key] for key in ("os", "architecture", "variant") if config.get(key)}
        return {**{key: found[key] for key in ("mediaType", "digest", "size")}, "platform": platform}

    # ---- store

    def images(self) -> tuple[Image, ...]:
        """See ImageStore."""
        return self._images.all()

    def inspect(self, reference: str) -> Image:
        """See ImageStore."""
        return self._images.find(reference)

    def measure(self, reference: str) -> Bill:
        """See ImageStore."""
        from modelyard.engines.oci.measuring import measure_image

        return measure_image(self._images, self._images.find(reference))

    def remove(self, reference: str) -> Image:
        """See ImageStore."""
        with explaining_disk_errors(), self.home.lock(STORE_LOCK):
            image = self._images.find(reference)
            descriptor = self._images.descriptor(image)
            removed = self._images.remove(image, reference)
            if not removed.tags:
                self.layout.free(descriptor)
            return removed

    def prune(self) -> Pruned:
        """See ImageStore."""
        from modelyard.engines.oci.pruning import prune

        with explaining_disk_errors(), self.home.lock(STORE_LOCK):
            return prune(self._images, self.home)

    # ---- publisher

    def publish(
        self,
        reference: str,
        address: Address,
        credential: Credential | None,
        *,
        insecure: bool = False,
        on_transfer: OnTransfer,
    ) -> tuple[str, int | None]:
        """See ImagePublisher. The connection finds the credential itself, and again when a token has to be renewed."""
        with self.home.lock(STORE_LOCK, shared=True):
            descriptor = self._images.descriptor(self._images.find(reference))
            connection = Connection(self.environ, insecure=insecure)
            try:
                sent = put(self.layout, descriptor, address, Registry(connection), on_transfer=on_transfer)
            finally:
                connection.close()
            return sent.digest, sent.sent

    def export(self, reference: str, place: Place) -> str:
        """See ImageExporter."""
        with explaining_disk_errors(), self.home.lock(STORE_LOCK, shared=True):
            image = self._images.find(reference)
            descriptor = {key: value for key, value in self._images.descriptor(image).items() if key != "annotations"}
            named = place if place.name else replace(place, name=image.tags[0] if image.tags else None)
            connection = Connection(self.environ)
            try:
                return put(self.layout, descriptor, named, Registry(connection)).digest
            finally:
                connection.close()
