"""Images of the embedded engine: a folder an id, a file a tag."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

from modelyard.engines.delegation import as_tag, no_image
from modelyard.engines.protocols import Image
from modelyard.machine.home import Home, read_record, remove_tree, write_record

RECORD = "image.json"


@dataclass(frozen=True)
class LocalImages:
    """What `images/` and `tags/` of a home hold."""

    home: Home

    def all(self) -> tuple[Image, ...]:
        """Every image, newest first."""
        tags = self._tags()
        found = [self._read(path.parent, tags) for path in self.home.images.glob(f"[!.]*/{RECORD}")]
        return tuple(sorted((image for image in found if image), key=lambda image: image.created, reverse=True))

    def get(self, id: str) -> Image | None:
        """The image of an id."""
        return self._read(self.home.images / id, self._tags())

    def find(self, reference: str) -> Image:
        """The image of a tag, an id or the start of an id; raise EngineError where there is none, or more than one."""
        id = self._tags().get(as_tag(reference))
        images = self.all()
        matches = [image for image in images if image.id == id or (id is None and image.id.startswith(reference))]
        if len(matches) == 1 and reference:
            return matches[0]
        raise no_image(reference, images, matches=len(matches))

    def tag(self, id: str, tag: str) -> None:
        """Let `tag` name the image `id`, whatever it named before."""
        self.home.tags.mkdir(parents=True, exist_ok=True)
        write_record(self.home.tags / quote(tag, safe=""), {"image": id})

    def remove(self, image: Image, reference: str) -> Image:
        """Take a tag off an image, and remove it with its last one or where it is named by its id."""
        tag = as_tag(reference)
        removed = {tag} if tag in image.tags else set(image.tags)
        for name in removed:
            (self.home.tags / quote(name, safe="")).unlink(missing_ok=True)
        left = tuple(name for name in image.tags if name not in removed)
        if not left:
            remove_tree(self.home.images / image.id)
        return replace(image, tags=left)

    def used_folders(self, id: str) -> Iterator[Path]:
        """The environments and the runtime that an image shares with others."""
        record = read_record(self.home.images / id / RECORD) or {}
        yield from (self.home.environments / key for key in record["environments"].values())
        yield self.home.libs / record["lib"]

    def _tags(self) -> dict[str, str]:
        records = {unquote(path.name): read_record(path) for path in self.home.tags.glob("[!.]*")}
        return {tag: record["image"] for tag, record in records.items() if record}

    def _read(self, folder: Path, tags: dict[str, str]) -> Image | None:
        record = read_record(folder / RECORD)
        if record is None:
            return None
        return Image(
            id=folder.name,
            tags=tuple(sorted(tag for tag, id in tags.items() if id == folder.name)),
            kind=record["kind"],
            name=record["name"],
            labels=record["labels"],
            environment=record["environment"],
            size=record["size"],
            created=datetime.fromisoformat(record["created"]),
        )
