"""A real registry that asks a token service who somebody is: tokens are got, used again, and renewed in the middle."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.commands.copying import log_in
from modelyard.engines.oci import registry as protocol
from modelyard.engines.oci.address import parse_address
from modelyard.engines.oci.bases import open_base
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.layout import Layout
from modelyard.engines.oci.refusals import RegistryError
from modelyard.engines.oci.registry import Registry
from modelyard.engines.oci.transfer import pull, push
from modelyard.images.platforms import TargetPlatform
from tests.base_images import file, make_image, pack_layer
from tests.integration.registries import credentials, running_registry
from tests.integration.token_service import TokenService, running_token_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    with running_token_service(tmp_path_factory.mktemp("tokens")) as service:
        yield service


@pytest.fixture(scope="module")
def host(service: TokenService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry"), tokens=service.settings) as host:
        yield host


@pytest.fixture
def registry(host: str, service: TokenService, tmp_path: Path) -> Iterator[Registry]:
    service.lifetime, service.issued = 300.0, []
    connection = Connection(credentials(tmp_path / "docker", host))
    yield Registry(connection)
    connection.close()


def make(folder: Path, size: int = 1000):
    layout = Layout(folder / "layout")
    return layout, make_image(layout, [pack_layer(file("x", bytes(size)))], architecture="amd64")


def test_one_token_is_used_for_all_that_it_allows(host, service, registry, tmp_path):
    layout, top = make(tmp_path)
    push(layout, top, registry, parse_address(f"{host}/tokens/rf:v1"))
    assert set(service.issued) == {"repository:tokens/rf:pull", "repository:tokens/rf:pull,push"}
    assert len(service.issued) <= 5, "those that go side by side may ask at the same time, nobody else again"
    back = Layout(tmp_path / "back")
    assert pull(registry, parse_address(f"{host}/tokens/rf:v1"), back) == top


def test_a_token_that_expires_in_the_middle_is_renewed(host, service, registry, tmp_path, monkeypatch):
    service.lifetime = 2.0
    monkeypatch.setattr(protocol, "CHUNK", 100)
    layout, top = make(tmp_path, 10_000)
    send = Registry._send_piece

    def slowly(self: Registry, *words):
        time.sleep(0.5)
        return send(self, *words)

    monkeypatch.setattr(Registry, "_send_piece", slowly)
    sizes = [each["size"] for each in layout.walk(top)]
    assert sum(sizes) > 400, "more pieces than one token lasts for"
    push(layout, top, registry, parse_address(f"{host}/tokens/long:v1"))
    assert len(service.issued) > 1
    service.lifetime = 300.0
    assert pull(registry, parse_address(f"{host}/tokens/long:v1"), Layout(tmp_path / "back")) == top


def test_a_token_that_has_always_expired_is_an_error_that_says_how_to_log_in(host, service, registry, tmp_path):
    service.lifetime = -60.0
    layout, top = make(tmp_path)
    with pytest.raises(RegistryError, match="401") as caught:
        push(layout, top, registry, parse_address(f"{host}/tokens/never:v1"))
    assert caught.value.hint == f"modelyard login {host}"
    assert "secret" not in f"{caught.value}"


def test_a_login_is_tried_at_the_token_service(host, service, tmp_path):
    service.lifetime = 300.0
    environ = {"DOCKER_CONFIG": str(tmp_path / "docker"), "PATH": "/usr/bin"}
    with pytest.raises(RegistryError) as caught:
        log_in(host, "me", "wrong-password", environ)
    assert "wrong-password" not in f"{caught.value}{caught.value.hint}"
    log_in(host, "me", "secret", environ)
    layout, top = make(tmp_path)
    connection = Connection(environ)
    push(layout, top, Registry(connection), parse_address(f"{host}/tokens/base:v1"))
    connection.close()
    amd64 = TargetPlatform(architecture="amd64")
    home = Layout(tmp_path / "home")
    assert open_base(f"{host}/tokens/base:v1", amd64, environ, home).digest == top["digest"]
    with pytest.raises(RegistryError, match="401"):
        open_base(f"{host}/tokens/base:v1", amd64, {"DOCKER_CONFIG": str(tmp_path)}, Layout(tmp_path / "other"))
