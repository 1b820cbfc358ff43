"""Software bills of material of an image, in both formats that others read. The libraries load when one is made.

The same image has the same bill: no clock, no random number.
"""

import io
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from modelyard import __version__
from modelyard.errors import ModelyardError
from modelyard.images.packages import Package

Format = Literal["cyclonedx", "spdx"]
MEDIA_TYPES: Mapping[Format, str] = {
    "cyclonedx": "application/vnd.cyclonedx+json",
    "spdx": "application/spdx+json",
}
_NAMESPACE = uuid.UUID("6f7e0f0e-5c1f-5f0a-9d0e-0d2c4a6b8e10")  # of ours: bills of one image have one number
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Billed:
    """The image that a bill is of."""

    name: str
    digest: str
    """Of its manifest."""
    labels: Mapping[str, str]

    @property
    def version(self) -> str:
        """What it calls itself, else its digest."""
        return self.labels.get("org.opencontainers.image.version") or self.digest

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:oci/{self.name.rpartition('/')[2]}@{self.digest.replace(':', '%3A')}"


def write_bill(format: Format, billed: Billed, packages: Sequence[Package]) -> bytes:
    """Write a bill as JSON; raise ModelyardError where the library for it is not installed."""
    try:
        return _WRITERS[format](billed, packages)
    except ImportError as error:
        raise ModelyardError(
            f"{format} needs a package that is not installed here ({error.name})",
            hint="pip install 'modelyard[sbom]'",
        ) from None


def _write_cyclonedx(billed: Billed, packages: Sequence[Package]) -> bytes:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    components = [
        Component(
            name=each.name,
            version=each.version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{each.purl}#{each.place}" if each.place else each.purl,
            purl=PackageURL.from_string(each.purl),
            licenses=[DisjunctiveLicense(name=each.license)] if each.license else (),
        )
        for each in packages
    ]
    image = Component(
        name=billed.name,
        version=billed.version,
        type=ComponentType.CONTAINER,
        bom_ref=billed.purl,
        purl=PackageURL.from_string(billed.purl),
    )
    tool = Component(name="modelyard", version=__version__, type=ComponentType.APPLICATION, bom_ref="modelyard")
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(_NAMESPACE, billed.digest),
        metadata=BomMetaData(component=image, timestamp=_EPOCH, tools=_tools(tool)),
    )
    bom.register_dependency(image, components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    return _encode(document)


def _tools(tool: Any) -> Any:
    from cyclonedx.model.tool import ToolRepository

    return ToolRepository(components=[tool])


def _write_spdx(billed: Billed, packages: Sequence[Package]) -> bytes:
    from spdx_tools.spdx.model import (
        Actor,
        ActorType,
        CreationInfo,
        Document,
        ExternalPackageRef,
        ExternalPackageRefCategory,
        PackagePurpose,
        Relationship,
        RelationshipType,
        SpdxNoAssertion,
    )
    from spdx_tools.spdx.model import Package as SpdxPackage
    from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

    def describe(number: int, name: str, version: str, purl: str, **more: Any) -> SpdxPackage:
        reference = ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", purl)
        return SpdxPackage(
            spdx_id=f"SPDXRef-{number}",
            name=name,
            download_location=SpdxNoAssertion(),
            version=version,
            files_analyzed=False,
            license_concluded=SpdxNoAssertion(),
            license_declared=SpdxNoAssertion(),
            copyright_text=SpdxNoAssertion(),
            external_references=[reference],
            **more,
        )

    image = describe(0, billed.name, billed.version, billed.purl, primary_package_purpose=PackagePurpose.CONTAINER)
    inside = [
        describe(
            *(number, each.name, each.version, each.purl),
            license_comment=each.license or None,
            source_info=each.place or None,
        )
        for number, each in enumerate(packages, 1)
    ]  # fmt: skip
    hexadecimal = billed.digest.removeprefix("sha256:")
    document = Document(
        creation_info=CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id="SPDXRef-DOCUMENT",
            name=billed.name,
            document_namespace=f"https://modelyard.invalid/spdx/{hexadecimal}",
            creators=[Actor(ActorType.TOOL, f"modelyard-{__version__}")],
            created=_EPOCH.replace(tzinfo=None),
        ),
        packages=[image, *inside],
        relationships=[
            Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, image.spdx_id),
            *(Relationship(image.spdx_id, RelationshipType.CONTAINS, each.spdx_id) for each in inside),
        ],
    )
    stream = io.StringIO()
    write_document_to_stream(document, stream, validate=False)
    return _encode(json.loads(stream.getvalue()))


_WRITERS: Mapping[Format, Callable[[Billed, Sequence[Package]], bytes]] = {
    "cyclonedx": _write_cyclonedx,
    "spdx": _write_spdx,
}


def _encode(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
