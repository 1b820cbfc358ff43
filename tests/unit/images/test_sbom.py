"""Bills are what their formats say, and the same each time."""

import json

import pytest

from modelyard.images.packages import Package
from modelyard.images.provenance import BASE_DIGEST, BASE_NAME, write_provenance
from modelyard.images.sbom import Billed, write_bill

PACKAGES = [
    Package(kind="deb", name="libc6", version="2.36-9+deb12u9", architecture="amd64"),
    Package(kind="pypi", name="numpy", version="2.4.6", place="/a", license="BSD-3-Clause"),
    Package(kind="pypi", name="numpy", version="2.4.6", place="/b"),
]
LABELS = {"io.modelyard.source-digest": "5" * 64, "io.modelyard.name": "rf"}
IMAGE = Billed(name="income/rf", digest="sha256:" + "a" * 64, labels=LABELS)


def test_cyclonedx_has_each_package_with_its_purl():
    pytest.importorskip("cyclonedx", reason="NOT TESTED: pip install 'modelyard[sbom]'")
    document = json.loads(write_bill("cyclonedx", IMAGE, PACKAGES))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["purl"].replace("%3A", ":") == f"pkg:oci/rf@sha256:{'a' * 64}"
    assert sorted(each["purl"] for each in document["components"]) == sorted(each.purl for each in PACKAGES)
    assert write_bill("cyclonedx", IMAGE, PACKAGES) == write_bill("cyclonedx", IMAGE, PACKAGES)


def test_spdx_is_valid_and_says_what_contains_what(tmp_path):
    parser = pytest.importorskip("spdx_tools.spdx.parser.parse_anything", reason="pip install 'modelyard[sbom]'")
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    path = tmp_path / "bill.spdx.json"
    path.write_bytes(write_bill("spdx", IMAGE, PACKAGES))
    document = parser.parse_file(str(path))
    assert validate_full_spdx_document(document) == []
    assert [each.name for each in document.packages] == ["income/rf", "libc6", "numpy", "numpy"]
    assert len(document.relationships) == 4
    assert write_bill("spdx", IMAGE, PACKAGES) == path.read_bytes()


def test_provenance_says_of_what_the_image_was_made():
    notes = {BASE_DIGEST: "sha256:" + "b" * 64, BASE_NAME: "python:3.11-slim"}
    statement = json.loads(write_provenance(IMAGE, PACKAGES, platform="linux/amd64", annotations=notes))
    assert statement["subject"] == [{"name": "income/rf", "digest": {"sha256": "a" * 64}}]
    made_of = statement["predicate"]["buildDefinition"]
    assert made_of["externalParameters"] == {"name": "rf", "platform": "linux/amd64"}
    assert made_of["resolvedDependencies"] == [
        {"name": "source", "digest": {"sha256": "5" * 64}},
        {"name": "base", "uri": "python:3.11-slim", "digest": {"sha256": "b" * 64}},
        {"uri": "pkg:pypi/numpy@2.4.6", "name": "/a"},
        {"uri": "pkg:pypi/numpy@2.4.6", "name": "/b"},
    ]
