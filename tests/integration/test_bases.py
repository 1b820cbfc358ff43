"""Base images from a real registry and of a real engine."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.interpreter import find_interpreter
from modelyard.engines.docker.sockets import find_socket
from modelyard.engines.oci.address import parse_address
from modelyard.engines.oci.bases import open_base
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.layout import Layout
from modelyard.engines.oci.registry import Registry
from modelyard.engines.oci.transfer import push
from modelyard.errors import EngineError
from modelyard.images.platforms import TargetPlatform
from tests.base_images import ARCHITECTURE, file, make_image, make_index, pack_layer
from tests.integration.cutting_proxy import run_cutting_proxy
from tests.integration.registries import running_registry

AMD64 = TargetPlatform(architecture="amd64")


def put(layout: Layout, top, reference: str) -> None:
    connection = Connection(os.environ)
    push(layout, top, Registry(connection), parse_address(reference))
    connection.close()


def test_a_base_comes_from_a_registry_once(tmp_path, monkeypatch):
    monkeypatch.setattr("modelyard.engines.oci.refusals._PAUSE", 0.01)
    there, layout, said = Layout(tmp_path / "there"), Layout(tmp_path / "home"), []
    images = {name: make_image(there, [pack_layer(file(name))], architecture=name) for name in ("amd64", "arm64")}
    with running_registry(tmp_path / "registry") as host:
        put(there, make_index(there, images), f"{host}/bases/py:v1")
        put(there, images["amd64"], f"{host}/bases/single:v1")
        references = [f"{host}/bases/py:v1", f"{host}/bases/single@{images['amd64']['digest']}"]
        first = [open_base(each, AMD64, os.environ, layout, on_output=said.append) for each in references]
        with pytest.raises(EngineError, match="has no image for linux/arm64"):
            open_base(references[1], TargetPlatform(architecture="arm64"), os.environ, layout)
        with pytest.raises(EngineError, match="404"):
            open_base(f"{host}/bases/none:v1", AMD64, os.environ, layout)
    # The registry is gone.
    again = [open_base(each, AMD64, os.environ, layout, on_output=said.append) for each in references]
    assert [each.digest for each in again] == [each.digest for each in first] == [images["amd64"]["digest"]] * 2
    assert [found.path for found in again[0].tree.walk()] == ["/amd64"]
    assert len(said) == 2, "it is got once"
    with pytest.raises(EngineError, match=r"could not pull .*\(5 tries\)") as caught:
        open_base(references[0], TargetPlatform(architecture="arm64"), os.environ, layout)
    assert "MODELYARD_BASE_IMAGE names another" in str(caught.value.hint)


def test_what_is_read_of_the_engines_base_is_what_it_says_when_it_runs(image_engines, saved_base, tmp_path):
    environ = {**os.environ, **image_engines("docker"), "MODELYARD_HOME": str(tmp_path / "home")}
    base = open_base("base", TargetPlatform(architecture=ARCHITECTURE), environ, Layout(saved_base))
    socket = find_socket("docker", environ)
    assert socket is not None
    client = Client(socket, environ)
    image = client.api.inspect_image(environ["MODELYARD_BASE_IMAGE"])["Id"]
    assert base.id == image, "it is the very image"
    assert asdict(base.interpreter) == asdict(find_interpreter(client, image))


@pytest.fixture
def damaged(tmp_path) -> Iterator[tuple[str, Layout, dict[str, Any], Path]]:
    """A registry with an image: its host, what was pushed, its descriptor, and the files of the registry."""
    there = Layout(tmp_path / "there")
    top = make_image(there, [pack_layer(file("x", os.urandom(1 << 20)))], architecture="amd64")
    with running_registry(tmp_path / "registry") as host:
        put(there, top, f"{host}/bases/py:v1")
        yield host, there, top, tmp_path / "registry" / "files"


def stored(files: Path, digest: str) -> Path:
    return next(files.glob(f"**/blobs/sha256/*/{digest.removeprefix('sha256:')}/data"))


def test_a_base_whose_layer_is_delivered_damaged_is_not_kept(damaged, tmp_path):
    host, there, top, files = damaged
    layer = there.read_manifest(top).document["layers"][0]
    path = stored(files, layer["digest"])
    path.write_bytes(bytes(path.stat().st_size))
    layout = Layout(tmp_path / "home")
    with pytest.raises(EngineError, match=f"delivered sha256:.* for the blob {layer['digest']}"):
        open_base(f"{host}/bases/py:v1", AMD64, os.environ, layout)
    assert not layout.has(layer["digest"])
    path.write_bytes(there.path(layer["digest"]).read_bytes())
    assert open_base(f"{host}/bases/py:v1", AMD64, os.environ, layout).tree.find("/x") is not None


def test_a_base_whose_manifest_is_another_than_its_digest_is_refused(damaged, tmp_path):
    host, _, top, files = damaged
    path = stored(files, top["digest"])
    path.write_bytes(path.read_bytes().replace(b'"schemaVersion":2', b'"schemaVersion": 2'))
    with pytest.raises(EngineError, match=r"the registry delivered sha256:\w+ for the manifest"):
        open_base(f"{host}/bases/py@{top['digest']}", AMD64, os.environ, Layout(tmp_path / "home"))


def test_a_base_goes_on_where_the_registry_closed_in_the_middle_of_a_blob(damaged, tmp_path):
    host, _, top, _ = damaged
    with run_cutting_proxy(int(host.rpartition(":")[2])) as proxy:
        reference = f"localhost:{proxy.listener.getsockname()[1]}/bases/py:v1"
        proxy.cut_after(500_000, times=2)
        base = open_base(reference, AMD64, os.environ, Layout(tmp_path / "home"))
    assert (base.digest, proxy.done) == (top["digest"], 2)
    assert base.tree.find("/x") is not None


def test_a_layer_that_is_no_gzip_is_named(tmp_path):
    there = Layout(tmp_path / "there")
    top = make_image(there, [pack_layer(file("x"))], architecture="amd64")
    manifest = there.read_manifest(top).document
    layer = there.write(b"neither gzip nor tar " * 100, manifest["layers"][0]["mediaType"])
    top = there.write_json({**manifest, "layers": [layer]}, top["mediaType"])
    with running_registry(tmp_path / "registry") as host:
        put(there, top, f"{host}/bases/py:v1")
        base = open_base(f"{host}/bases/py:v1", AMD64, os.environ, Layout(tmp_path / "home"))
        with pytest.raises(EngineError, match=f"the layer {layer['digest']} is neither gzip nor tar"):
            base.interpreter  # noqa: B018
