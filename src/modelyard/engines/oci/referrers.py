"""What is said about an image, kept beside it in its registry: bills, provenance, whoever's.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelyard.engines.oci.address import Address
from modelyard.engines.oci.layout import Descriptor, Layout
from modelyard.engines.oci.registry import INDEX, MANIFEST, Manifest, Registry
from modelyard.engines.oci.transfer import Sent
from modelyard.images.configuration import encode

EMPTY = "application/vnd.oci.empty.v1+json"
_PLAIN = ("mediaType", "digest", "size")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A document about an image; its media type says of which kind it is."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str]


def attach(
    layout: Layout, subject: Descriptor, statement: Statement, registry: Registry, address: Address, sent: Sent
) -> None:
    """Put a statement about an image beside it in its registry; by the tag of its digest where that is older."""
    config = layout.write(b"{}", EMPTY)
    blob = layout.write(statement.content, statement.media_type)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": statement.media_type,
        "config": config,
        "layers": [blob],
        "subject": {key: subject[key] for key in _PLAIN},
        "annotations": dict(statement.annotations),
    }
    top = layout.write_json(document, MANIFEST)
    for each in (config, blob):
        if not registry.has_blob(address, each["digest"]):
            registry.upload(address, each["digest"], Path(layout.path(each["digest"])))
            sent.sent += each["size"]
    knows_subjects = registry.put_referrer(address.at(top["digest"]), layout.read_manifest(top))
    if not knows_subjects:
        described = {**top, "artifactType": statement.media_type, "annotations": dict(statement.annotations)}
        _add_by_tag(registry, address, subject["digest"], described)


def list_statements(registry: Registry, address: Address, digest: str) -> list[dict[str, Any]]:
    """The descriptors of what is said about an image: their `artifactType` says of which kind each is."""
    found = registry.find_referrers(address, digest)
    if found is None:
        tagged = _tagged(address, digest)
        found = registry.get_manifest(tagged) if registry.find_manifest(tagged) else None
    return [] if found is None else list(found.document.get("manifests", ()))


def fetch_statement(registry: Registry, address: Address, descriptor: Descriptor, layout: Layout) -> bytes:
    """The content of a statement."""
    manifest = registry.get_manifest(address.at(descriptor["digest"]))
    blob = manifest.document["layers"][0]
    digest, size = blob["digest"], blob["size"]
    layout.fetch(digest, lambda part: registry.download(address, digest, size, part))
    return layout.read(digest)


def _add_by_tag(registry: Registry, address: Address, digest: str, described: dict[str, Any]) -> None:
    """Add to the index that stands in for the registry's own list."""
    tagged = _tagged(address, digest)
    before = registry.get_manifest(tagged).document.get("manifests", ()) if registry.find_manifest(tagged) else ()
    others = [each for each in before if each["digest"] != described["digest"]]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, described]}
    registry.put_manifest(tagged, Manifest(content=encode(document), media_type=INDEX))


def _tagged(address: Address, digest: str) -> Address:
    return replace(address, tag=digest.replace(":", "-"), digest=None)
