"""Images to and from a real registry: nothing is sent twice, cuts are gone over, and what is damaged is not kept."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelyard.commands.copying import Published, copy_image, list_tags, log_in, open_layout
from modelyard.engines import open_engine
from modelyard.engines.oci import registry as protocol
from modelyard.engines.oci.address import Address, parse_address
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.layout import CONFIG, Layout
from modelyard.engines.oci.places import carry
from modelyard.engines.oci.refusals import RegistryError
from modelyard.engines.oci.registry import INDEX, MANIFEST, Registry
from modelyard.engines.oci.transfer import pull, push
from modelyard.errors import EngineError
from tests.integration.cutting_proxy import CuttingProxy, run_cutting_proxy
from tests.integration.registries import credentials, running_registry

SIZE = 3 << 20


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def proxy(host: str) -> Iterator[CuttingProxy]:
    with run_cutting_proxy(int(host.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def registry() -> Iterator[Registry]:
    connection = Connection(os.environ)
    yield Registry(connection)
    connection.close()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "MODELYARD_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker")}


def make_image(layout: Layout, folder: Path, *, size: int = SIZE, name: str = "image") -> dict[str, Any]:
    """An image of one layer of random bytes, which compression leaves as large."""
    layer = folder / f"{name}.tar"
    layer.write_bytes(os.urandom(size))
    diff_id = f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.write_json(config, CONFIG),
        "layers": [layout.compress(layer, diff_id)],
    }
    return layout.write_json(document, MANIFEST)


def through(proxy: CuttingProxy, name: str) -> Address:
    return parse_address(f"localhost:{proxy.listener.getsockname()[1]}/{name}")


def test_an_image_comes_back_as_it_was_sent(host, registry, tmp_path):
    there, back = Layout(tmp_path / "a"), Layout(tmp_path / "b")
    top = make_image(there, tmp_path)
    sent = push(there, top, registry, parse_address(f"{host}/income/rf:v1"))
    assert (sent.digest, sent.mounted, sent.known) == (top["digest"], 0, 0)
    assert sent.sent >= SIZE
    assert pull(registry, parse_address(f"{host}/income/rf:v1"), back) == top
    back.tag(top, "v1")
    assert back.verify() == []
    assert list_tags(f"{host}/income/rf", os.environ) == ["v1"]


def test_what_is_there_is_not_sent_again(host, proxy, registry, tmp_path):
    layout = Layout(tmp_path / "a")
    top = make_image(layout, tmp_path)
    push(layout, top, registry, through(proxy, "again/rf:v1"))
    before = proxy.sent
    assert push(layout, top, registry, through(proxy, "again/rf:v1")).sent == 0
    assert proxy.sent - before < 1000, "less than a kilobyte says that nothing has changed"


def test_blobs_of_another_repository_are_mounted(host, registry, tmp_path):
    layout = Layout(tmp_path / "a")
    top = make_image(layout, tmp_path)
    push(layout, top, registry, parse_address(f"{host}/mounts/from:v1"))
    sent = push(layout, top, registry, parse_address(f"{host}/mounts/to:v1"), mounts=["mounts/from"])
    assert (sent.sent, sent.mounted > SIZE) == (0, True)


def test_an_upload_gets_over_cuts(proxy, registry, tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "CHUNK", 1 << 18)
    layout = Layout(tmp_path / "a")
    top = make_image(layout, tmp_path)
    proxy.cut_after(SIZE // 2, times=2, of_requests=True)
    sent = push(layout, top, registry, through(proxy, "cuts/up:v1"))
    assert proxy.done == 2
    assert sent.sent == sum(each["size"] for each in layout.walk(top)) - top["size"]
    assert pull(registry, through(proxy, "cuts/up:v1"), Layout(tmp_path / "b")) == top


def test_a_download_goes_on_after_a_cut(proxy, registry, tmp_path):
    layout = Layout(tmp_path / "a")
    top = make_image(layout, tmp_path)
    push(layout, top, registry, through(proxy, "cuts/down:v1"))
    proxy.cut_after(SIZE // 2, times=1)
    seen: list[tuple[int, int]] = []
    back = Layout(tmp_path / "b")
    pull(registry, through(proxy, "cuts/down:v1"), back, on_transfer=lambda *words: seen.append(words))
    assert proxy.done == 1
    assert seen[-1][0] == seen[-1][1], "no byte is counted twice"
    assert max(done for done, _ in seen) == seen[-1][1]


def test_a_registry_that_never_comes_back_is_an_error(proxy, registry, tmp_path, monkeypatch):
    monkeypatch.setattr("modelyard.engines.oci.refusals._PAUSE", 0.01)
    address = through(proxy, "cuts/never:v1")
    registry.connection.base(address)
    proxy.cut_after(0, times=1000)
    with pytest.raises(RegistryError, match=r"could not pull .*/cuts/never:v1: .*\(5 tries\)"):
        registry.get_manifest(address)


def test_an_index_is_copied_whole_or_by_platform(host, registry, tmp_path, environ):
    layout = open_layout(environ)
    images = {arch: make_image(layout, tmp_path, size=1000, name=arch) for arch in ("amd64", "arm64")}
    manifests: list[dict[str, Any]] = [
        {**image, "platform": {"os": "linux", "architecture": arch}} for arch, image in images.items()
    ]
    manifests.append({**images["amd64"], "platform": {"os": "unknown", "architecture": "unknown"}})  # an attestation
    top = layout.write_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX)
    push(layout, top, registry, parse_address(f"{host}/index/rf:v1"))

    def copy(*platforms: str) -> str:
        target = f"oci:{tmp_path / 'out'}:x"
        options: dict[str, Any] = {"platforms": platforms, "on_transfer": lambda done, total: None}
        return copy_image(f"{host}/index/rf:v1", target, tmp_path, environ, **options).digest

    assert copy() == top["digest"]
    assert copy("linux/arm64") == images["arm64"]["digest"]
    with pytest.raises(EngineError, match="has no image for linux/s390x") as caught:
        copy("linux/s390x")
    assert caught.value.hint == "it has linux/amd64, linux/arm64"


def test_an_image_of_another_platform_is_not_taken_for_it(host, registry, tmp_path, environ):
    layout = open_layout(environ)
    image = make_image(layout, tmp_path, size=1000)
    push(layout, image, registry, parse_address(f"{host}/single/rf:v1"))

    def copy(source: str, name: str, platform: str) -> Published:
        options: dict[str, Any] = {"platforms": [platform], "on_transfer": lambda done, total: None}
        return copy_image(source, f"oci:{tmp_path / 'out'}:{name}", tmp_path, environ, **options)

    copied = copy(f"{host}/single/rf:v1", "x", "linux/amd64")
    assert (copied.digest, copied.sent) == (image["digest"], None)
    for source in (f"{host}/single/rf:v1", f"oci:{tmp_path / 'out'}:x"):
        with pytest.raises(EngineError, match="has no image for linux/arm64") as caught:
            copy(source, "y", "linux/arm64")
        assert caught.value.hint == "it has linux/amd64"
    manifests = [{**image, "platform": {"os": "linux", "architecture": arch}} for arch in ("amd64", "s390x")]
    index = layout.write_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX)
    there = Layout(tmp_path / "in")
    there.tag(carry(layout, index, there), "all")
    assert copy(f"oci:{tmp_path / 'in'}:all", "one", "linux/s390x").digest == image["digest"]


def test_another_content_than_was_named_is_not_kept(host, registry, tmp_path):
    layout = Layout(tmp_path / "a")
    top = make_image(layout, tmp_path, size=1000)
    address = parse_address(f"{host}/damaged/rf:v1")
    push(layout, top, registry, address)
    files = {path.parent.name: path for path in tmp_path.parent.glob("registry*/files/**/blobs/**/data")}
    blob = layout.read_manifest(top).document["layers"][0]
    stored = files[blob["digest"].removeprefix("sha256:")]
    stored.write_bytes(bytes(stored.stat().st_size))
    back = Layout(tmp_path / "b")
    with pytest.raises(RegistryError, match=f"delivered sha256:.* for the blob {blob['digest']}"):
        pull(registry, address, back)
    assert not back.has(blob["digest"])
    assert [path for path in back.blobs.iterdir() if path.name.endswith(".download")] == []


def test_what_is_not_there_is_named(host, registry):
    with pytest.raises(RegistryError, match=f"pull {host}/no/such:v1: 404 MANIFEST_UNKNOWN") as caught:
        registry.get_manifest(parse_address(f"{host}/no/such:v1"))
    assert caught.value.hint == f"is the name right? `modelyard tags {host}/no/such` lists what there is"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("guarded"), users=True) as host:
        yield host


class TestLogin:
    def push(self, guarded: str, environ: dict[str, str], folder: Path) -> str:
        layout = Layout(folder / "layout")
        connection = Connection(environ)
        try:
            address = parse_address(f"{guarded}/income/rf:v1")
            return push(layout, make_image(layout, folder, size=1000), Registry(connection), address).digest
        finally:
            connection.close()

    def test_without_one_it_says_how(self, guarded, environ, tmp_path):
        with pytest.raises(RegistryError, match="401 Unauthorized") as caught:
            self.push(guarded, environ, tmp_path)
        assert caught.value.hint == f"modelyard login {guarded}"

    def test_a_wrong_password_is_neither_kept_nor_shown(self, guarded, environ, tmp_path):
        with pytest.raises(RegistryError, match="refused to log in") as caught:
            log_in(guarded, "me", "wrong-password", environ)
        assert "wrong-password" not in f"{caught.value}{caught.value.hint}"
        assert caught.value.hint == "is the user's name right, and the password? it was not kept"
        assert not (tmp_path / "docker").exists()

    def test_logged_in_it_pushes(self, guarded, environ, tmp_path):
        place = Path(log_in(guarded, "me", "secret", environ))
        assert place == tmp_path / "docker" / "config.json"
        assert place.stat().st_mode & 0o777 == 0o600
        assert self.push(guarded, environ, tmp_path).startswith("sha256:")

    def test_other_files_and_helpers_of_docker_and_podman_work(self, guarded, environ, tmp_path):
        auth = tmp_path / "auth.json"
        shutil.copy(Path(credentials(tmp_path / "c", guarded)["DOCKER_CONFIG"], "config.json"), auth)
        assert self.push(guarded, {**environ, "REGISTRY_AUTH_FILE": str(auth)}, tmp_path)
        helper = tmp_path / "bin" / "docker-credential-test"
        helper.parent.mkdir()
        helper.write_text(f'#!/bin/sh\nread server\n[ "$server" = {guarded} ] || exit 1\n'
                          'echo \'{"Username": "me", "Secret": "secret"}\'\n')  # fmt: skip
        helper.chmod(0o755)
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker" / "config.json").write_text(json.dumps({"credHelpers": {guarded: "test"}}))
        path = f"{helper.parent}{os.pathsep}{os.environ['PATH']}"
        assert self.push(guarded, {**environ, "PATH": path}, tmp_path)


def test_a_read_only_registry_says_so(tmp_path, registry):
    with running_registry(tmp_path / "read-only", read_only=True) as host:
        layout = Layout(tmp_path / "a")
        with pytest.raises(RegistryError, match="405") as caught:
            push(layout, make_image(layout, tmp_path, size=1000), registry, parse_address(f"{host}/income/rf:v1"))
        assert caught.value.hint is not None and "push to another" in caught.value.hint


def test_a_web_server_is_no_registry(registry, tmp_path):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0" if self.command == "HEAD" else "2")
            self.end_headers()
            if self.command != "HEAD":
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.wfile.write(b"hi")

        do_HEAD = do_PUT = do_GET

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = parse_address(f"localhost:{server.server_port}/income/rf:v1")
        layout = Layout(tmp_path / "a")
        with pytest.raises(RegistryError, match="says of none"):
            push(layout, make_image(layout, tmp_path, size=1000), registry, address)
        with pytest.raises(RegistryError, match="no list of tags"):
            list(registry.list_tags(address))
        with pytest.raises(RegistryError, match="no manifest"):
            registry.get_manifest(address)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="NOT TESTED: skopeo is not installed")
def test_skopeo_reads_and_writes_the_same(host, registry, tmp_path, environ):
    layout = Layout(tmp_path / "a")
    top = make_image(layout, tmp_path, size=1000)
    push(layout, top, registry, parse_address(f"{host}/judged/rf:v1"))

    def skopeo(*words: str) -> str:
        return subprocess.run(["skopeo", *words], capture_output=True, text=True, check=True).stdout

    said = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{host}/judged/rf:v1"))
    assert (said["Digest"], said["Os"]) == (top["digest"], "linux")
    for kind in ("oci-archive", "docker-archive"):
        file = tmp_path / f"{kind}.tar"
        options: dict[str, Any] = {"on_transfer": lambda done, total: None}
        copy_image(f"{host}/judged/rf:v1", f"{kind}:{file}:judged:v1", tmp_path, environ, **options)
        assert json.loads(skopeo("inspect", f"{kind}:{file}"))["Layers"]
        skopeo("copy", f"{kind}:{file}", f"{kind}:{file}.theirs:judged:v1")
        back = copy_image(f"{kind}:{file}.theirs", f"oci:{tmp_path / kind}", tmp_path, environ, **options)
        assert len(back.digest) == 71


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_engines_push_by_the_same_command(name, guarded, environ, tmp_path, image_engines, stage_train):
    started = image_engines(name)
    environ |= {**started, **credentials(tmp_path / "docker", guarded), "MODELYARD_NAMESPACE": f"push-{name}"}
    engine = open_engine(name, environ)
    image = engine.build(stage_train("def train(msg): return 1", requirements=""), tag="pushed")

    def modelyard(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "modelyard", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    try:
        target = f"{guarded}/engines/{name}:v1"
        pushed = modelyard("push", "pushed", target, "--engine", name, "--digest-file", str(tmp_path / "digest"))
        assert pushed.returncode == 0, pushed.stderr
        digest = (tmp_path / "digest").read_text().strip()
        assert pushed.stdout == f"{target}@{digest}\n"
        copied = modelyard("-C", str(tmp_path), "copy", target, "oci:out:v1", "--json")
        assert json.loads(copied.stdout)["digest"] == digest, copied.stderr
        layout = Layout(tmp_path / "out")
        config = layout.read_manifest(layout.index[0]).document["config"]
        assert config["digest"] == f"sha256:{image.id}", "it is the very image that was built"
        assert modelyard("tags", target).stdout == "v1\n"
        refused = modelyard("logout", guarded), modelyard("push", "pushed", f"{target}2", "--engine", name)
        assert (refused[1].returncode, f"modelyard login {guarded}" in refused[1].stderr) == (7, True), refused[
            1
        ].stderr
    finally:
        engine.remove(image.id)


def test_the_embedded_engine_says_that_its_images_are_folders(environ, tmp_path):
    command = [sys.executable, "-m", "modelyard", "push", "m", "localhost:5000/m:v1", "--engine", "local"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "the engine local has no images that a registry takes" in done.stderr
    assert "--engine docker, or podman" in done.stderr
