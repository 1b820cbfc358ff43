import hashlib

import pytest

from modelyard.engines.oci.layout import CONFIG, Layout, find_platforms
from modelyard.engines.oci.registry import MANIFEST
from modelyard.errors import EngineError


def image(layout, folder, content=b"layer"):
    layer = folder / "layer.tar"
    layer.write_bytes(content)
    diff_id = f"sha256:{hashlib.sha256(content).hexdigest()}"
    document = {
        "schemaVersion": 2,
        "config": layout.write_json({"rootfs": {"diff_ids": [diff_id]}}, CONFIG),
        "layers": [layout.compress(layer, diff_id)],
    }
    return layout.write_json(document, MANIFEST)


def test_a_layer_is_compressed_once_and_always_to_the_same_bytes(tmp_path):
    one, other = Layout(tmp_path / "a"), Layout(tmp_path / "b")
    assert image(one, tmp_path) == image(other, tmp_path)
    blob = one.path(one.read_manifest(image(one, tmp_path)).document["layers"][0]["digest"])
    before = blob.stat().st_mtime_ns
    image(one, tmp_path)
    assert blob.stat().st_mtime_ns == before


def test_a_name_means_the_last_image_it_was_given(tmp_path):
    layout = Layout(tmp_path)
    first, second = image(layout, tmp_path, b"1"), image(layout, tmp_path, b"2")
    layout.tag(first, "v1")
    layout.tag(second, "v1")
    assert layout.find("v1")["digest"] == second["digest"]
    assert layout.untag("v1")
    assert not layout.untag("v1")
    assert layout.index == []


def test_prune_keeps_what_a_name_needs(tmp_path):
    layout = Layout(tmp_path)
    kept, gone = image(layout, tmp_path, b"1"), image(layout, tmp_path, b"2")
    layout.tag(kept, "v1")
    assert layout.prune() > 0
    assert layout.verify() == []
    assert not layout.has(gone["digest"])


def test_verify_names_what_is_damaged_or_missing(tmp_path):
    layout = Layout(tmp_path)
    top = image(layout, tmp_path)
    layout.tag(top, "v1")
    document = layout.read_manifest(top).document
    layout.path(document["config"]["digest"]).write_bytes(b"{}")
    layout.path(document["layers"][0]["digest"]).unlink()
    digests = sorted([document["config"]["digest"], document["layers"][0]["digest"]])
    assert layout.verify() == [f"the blob {digest} is missing or damaged" for digest in digests]


@pytest.mark.parametrize("digest", ["sha256:../../../etc/passwd", "../x", "sha256:" + "A" * 64, "sha512:" + "a" * 128])
def test_a_digest_leads_nowhere_else(tmp_path, digest):
    with pytest.raises(EngineError, match="is no sha256 digest"):
        Layout(tmp_path).path(digest)


def test_attestations_are_no_platform():
    image = {"platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}
    attestation = {"platform": {"os": "unknown", "architecture": "unknown"}}
    assert find_platforms([image, attestation, {}]) == {"linux/arm/v7": image}
