"""Where an image comes from, as in-toto and SLSA write it down.

https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard import __version__
from modelyard.images.builder import BASE_LABEL
from modelyard.images.configuration import encode
from modelyard.images.packages import Package
from modelyard.images.sbom import Billed

MEDIA_TYPE = "application/vnd.in-toto+json"
_HOME = "https://pypi.org/project/modelyard"
# What an image was made of, as far as its labels tell.
_PARAMETERS = {
    "io.modelyard.name": "name",
    "io.modelyard.kind": "kind",
    "io.modelyard.variant": "variant",
}
_DIGESTS = {"io.modelyard.source-digest": "source", "io.modelyard.dependencies-digest": "requirements"}
BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"


def write_provenance(
    billed: Billed, packages: Sequence[Package], *, platform: str, annotations: Mapping[str, str]
) -> bytes:
    """The statement about an image; it says what its labels and annotations say, and what is installed in it."""
    labels = billed.labels
    parameters = {name: labels[label] for label, name in _PARAMETERS.items() if label in labels}
    materials: list[dict[str, Any]] = [
        {"name": name, "digest": {"sha256": labels[label]}} for label, name in _DIGESTS.items() if label in labels
    ]
    base = annotations.get(BASE_DIGEST) or labels.get(BASE_LABEL)
    if base:
        uri = {"uri": annotations[BASE_NAME]} if BASE_NAME in annotations else {}
        materials.append({"name": "base", **uri, "digest": {"sha256": base.removeprefix("sha256:")}})
    materials += [{"uri": each.purl, "name": each.place} for each in packages if each.kind == "pypi"]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": billed.name, "digest": {"sha256": billed.digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{_HOME}/oci@v1",
                "externalParameters": {**parameters, "platform": platform},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": f"{_HOME}/{__version__}", "version": {"modelyard": __version__}}},
        },
    }
    return encode(statement)
