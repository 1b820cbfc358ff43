"""Remove from a layout what nothing uses: untagged images, dependencies and platforms of none, bases, blobs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelyard.engines.oci.bases import forget_bases
from modelyard.engines.oci.images import APPLICATION, OciImages, notes_of
from modelyard.engines.oci.layout import NAME, Descriptor
from modelyard.engines.protocols import Pruned
from modelyard.images.application import IMAGE_LABEL
from modelyard.images.builder import BASE_LABEL, ROLE_LABEL
from modelyard.images.dependencies import KEY_LABEL
from modelyard.machine.home import Home
from modelyard.runtime import scratch


def prune(images: OciImages, home: Home) -> Pruned:
    """Remove them and say what was removed; nobody builds meanwhile."""
    entries = images.entries()
    tagged = [each for each in entries if _role(each) == APPLICATION and NAME in notes_of(each)]
    parts = {digest for each in tagged for digest in images.parts_of(each)}
    kept_digests = {each["digest"] for each in tagged} | parts
    kept = [each for each in entries if _role(each) == APPLICATION and each["digest"] in kept_digests]
    labels = [_labels(images, each) for each in kept]
    gone = [each for each in entries if _role(each) == APPLICATION and each not in kept]
    dependencies = _unused(entries, "dependencies", {each.get(KEY_LABEL) for each in labels})
    bases = {each.get(BASE_LABEL) for each in labels}
    platforms = [
        each for each in entries if _role(each) == "platform" and _labels(images, each).get(BASE_LABEL) not in bases
    ]
    removed = tuple(images.get(each).id for each in gone)
    images.drop([*gone, *dependencies, *platforms])
    standing = {_labels(images, each).get(BASE_LABEL) for each in images.layout.index if ROLE_LABEL in notes_of(each)}
    forget_bases(images.layout, lambda each: _config_digest(images, each) in standing)
    home.remove_free_locks()
    freed = images.layout.prune() + scratch.remove_abandoned() + scratch.remove_abandoned(home.layers)
    _forget_notes(images)
    return Pruned(
        images=removed,
        environments=tuple(notes_of(each)[IMAGE_LABEL] for each in dependencies),
        builders=tuple(notes_of(each)[IMAGE_LABEL] for each in platforms),
        freed=freed,
    )


def _role(descriptor: Descriptor) -> str:
    return notes_of(descriptor).get(ROLE_LABEL, "")


def _labels(images: OciImages, descriptor: Descriptor) -> Mapping[str, str]:
    return images.config(descriptor)["config"].get("Labels") or {}


def _unused(entries: Iterable[dict[str, Any]], role: str, used: set[str | None]) -> list[dict[str, Any]]:
    return [each for each in entries if _role(each) == role and notes_of(each)[IMAGE_LABEL] not in used]


def _config_digest(images: OciImages, descriptor: Descriptor) -> str:
    return str(images.layout.read_manifest(images.first(descriptor)).document["config"]["digest"])


def _forget_notes(images: OciImages) -> None:
    """Remove notes about layers that are gone."""
    for note in (images.layout.root / "weights").glob("*"):
        if not _has(images, note):
            note.unlink(missing_ok=True)


def _has(images: OciImages, note: Path) -> bool:
    return not note.name.startswith(".") and images.layout.has(f"sha256:{note.name}")
