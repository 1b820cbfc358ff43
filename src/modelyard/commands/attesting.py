"""What an image is made of, and where it comes from: made of its own files, printed, or put beside it in a registry."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from modelyard.commands.copying import open_layout, open_registry
from modelyard.engines.oci.address import Address, parse_address
from modelyard.engines.oci.bases import Base, open_base, read_base
from modelyard.engines.oci.layout import Descriptor, Layout, digest_bytes
from modelyard.engines.oci.places import parse_place
from modelyard.engines.oci.referrers import Statement, attach, fetch_statement, list_statements
from modelyard.engines.oci.registry import Registry
from modelyard.engines.oci.transfer import Sent
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError, ModelyardError
from modelyard.images import provenance, sbom
from modelyard.images.packages import Package, read_packages
from modelyard.images.platforms import TargetPlatform

Format = Literal["cyclonedx", "spdx", "provenance"]
FORMATS: tuple[Format, ...] = get_args(Format)
_MEDIA_TYPES: Mapping[Format, str] = {
    "cyclonedx": sbom.MEDIA_TYPES["cyclonedx"],
    "spdx": sbom.MEDIA_TYPES["spdx"],
    "provenance": provenance.MEDIA_TYPE,
}


def describe_image(
    reference: str, format: Format, platform: TargetPlatform, folder: Path, environ: Mapping[str, str]
) -> bytes:
    """What is said about an image: what its registry has beside it, else what its files say themselves."""
    layout = open_layout(environ)
    image = open_base(reference, platform, environ, layout, folder=folder)
    place = parse_place(reference, folder) if layout.find(reference) is None else None
    if isinstance(place, Address):
        with open_registry(environ, insecure=False) as registry:
            for each in list_statements(registry, place, image.digest):
                if each.get("artifactType") == _MEDIA_TYPES[format]:
                    return fetch_statement(registry, place, each, layout)
    return make_statement(image, format, _name_of(reference), read_packages(image.tree, image.read_all))


def make_statement(image: Base, format: Format, name: str, packages: Sequence[Package]) -> bytes:
    """Make one of an image's own files, labels and annotations."""
    labels = image.config.get("Labels") or {}
    billed = sbom.Billed(name=name, digest=image.digest, labels=labels)
    if format != "provenance":
        return sbom.write_bill(format, billed, packages)
    notes = image.layout.read_manifest(image.descriptor).document.get("annotations") or {}
    return provenance.write_provenance(billed, packages, platform=str(image.platform), annotations=notes)


def attach_statements(
    layout: Layout, top: Descriptor, registry: Registry, address: Address, on_output: OnOutput, *, is_new: bool
) -> Sent:
    """Put bills and provenance beside an image, or each image of an index, that a registry has; those it has stay.

    Where the image is not new there, and this was done before, the registry is not asked again.
    """
    sent = Sent(digest=top["digest"])
    note = layout.root / "attested" / digest_bytes(f"{address.host}/{address.name} {top['digest']}".encode())[7:]
    if note.is_file() and not is_new:
        return sent
    is_whole = True
    for descriptor, platform in _images_of(layout, top):
        there = {each.get("artifactType") for each in list_statements(registry, address, descriptor["digest"])}
        missing = [format for format in FORMATS if _MEDIA_TYPES[format] not in there]
        if not missing:
            continue
        image = read_base(layout, descriptor, str(address), platform)
        packages = read_packages(image.tree, image.read_all)
        for format in missing:
            try:
                content = make_statement(image, format, address.name, packages)
            except ModelyardError as error:
                on_output(f"---> no {format} beside {address}: {error.message}; {error.hint}")
                is_whole = False
                continue
            statement = Statement(media_type=_MEDIA_TYPES[format], content=content, annotations={})
            attach(layout, descriptor, statement, registry, address, sent)
    if is_whole:
        note.parent.mkdir(exist_ok=True)
        note.touch()
    return sent


def attach_pushed(
    image: str, digest: str, environ: Mapping[str, str], *, is_new: bool, insecure: bool, on_output: OnOutput
) -> Sent:
    """The same for an image of the home's layout that was pushed to `image`."""
    layout = open_layout(environ)
    content = layout.read(digest)
    media_type = str(json.loads(content)["mediaType"])
    top = {"mediaType": media_type, "digest": digest, "size": len(content)}
    with open_registry(environ, insecure=insecure) as registry:
        return attach_statements(layout, top, registry, parse_address(image), on_output, is_new=is_new)


def _images_of(layout: Layout, top: Descriptor) -> Iterator[tuple[Descriptor, TargetPlatform]]:
    document = layout.read_manifest(top).document
    if "manifests" not in document:
        image = read_base(layout, top, top["digest"], TargetPlatform(architecture="unknown"))
        yield top, _platform_of(image.document)
        return
    for each in document["manifests"]:
        yield each, _platform_of(each.get("platform") or {})


def _platform_of(found: Mapping[str, str]) -> TargetPlatform:
    return TargetPlatform(
        os=found.get("os") or "linux",
        architecture=found.get("architecture") or "unknown",
        variant=found.get("variant") or "",
    )


def _name_of(reference: str) -> str:
    """What an image is called in its bill, wherever it lies on this machine."""
    try:
        return parse_address(reference).name
    except InputError:
        return "image"
