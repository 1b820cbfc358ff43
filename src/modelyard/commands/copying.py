"""Images to and from registries: pushed by whichever engine has them, pulled and copied without any."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelyard.engines.oci.address import Address, parse_address
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.credentials import Credential, find_credential, remove_credential, save_credential
from modelyard.engines.oci.layout import STORE_LOCK, Layout
from modelyard.engines.oci.places import Place, parse_place, put, take
from modelyard.engines.oci.registry import Registry
from modelyard.engines.parts import require_publisher
from modelyard.engines.protocols import Engine, OnTransfer
from modelyard.errors import InputError
from modelyard.machine.home import Home


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is in a registry now."""

    image: str
    digest: str
    sent: int | None
    """Bytes that went over the wire; None where the engine does not tell."""

    @property
    def pinned(self) -> str:
        """The image by its digest, which nobody can make mean another."""
        return f"{self.image.partition('@')[0]}@{self.digest}"


@contextmanager
def open_registry(environ: Mapping[str, str], *, insecure: bool) -> Iterator[Registry]:
    """A registry client whose connections are closed in the end."""
    connection = Connection(environ, insecure=insecure)
    try:
        yield Registry(connection)
    finally:
        connection.close()


def push_image(
    engine: Engine,
    reference: str,
    to: str,
    environ: Mapping[str, str],
    *,
    insecure: bool = False,
    on_transfer: OnTransfer,
) -> Published:
    """Push an image of an engine; raise EngineError where that keeps none that a registry could have."""
    address = parse_address(to)
    publisher = require_publisher(engine)
    credential = find_credential(address.host, address.name, environ)
    digest, sent = publisher.publish(reference, address, credential, insecure=insecure, on_transfer=on_transfer)
    if not digest:
        with open_registry(environ, insecure=insecure) as registry:
            digest = registry.find_manifest(address) or ""
    return Published(image=str(address), digest=digest, sent=sent)


def copy_image(
    source: str,
    target: str,
    folder: Path,
    environ: Mapping[str, str],
    *,
    platforms: Sequence[str] = (),
    insecure: bool = False,
    on_transfer: OnTransfer,
) -> Published:
    """Copy an image between registries, layouts and archives; what is there already is not sent again."""
    origin, place = parse_place(source, folder), parse_place(target, folder)
    layout = open_layout(environ)
    with holding_layout(environ), open_registry(environ, insecure=insecure) as registry:
        top = take(origin, layout, registry, platforms=platforms, on_transfer=on_transfer)
        mounts = [origin.name] if _are_of_one_registry(origin, place) and isinstance(origin, Address) else []
        done = put(layout, top, place, registry, mounts=mounts, on_transfer=on_transfer)
    sent = done.sent if isinstance(place, Address) else None  # what is written to this machine is not sent
    return Published(image=str(place), digest=done.digest, sent=sent)


def list_tags(name: str, environ: Mapping[str, str], *, insecure: bool = False) -> list[str]:
    """The tags of a repository, sorted."""
    with open_registry(environ, insecure=insecure) as registry:
        return sorted(registry.list_tags(parse_address(name)))


def log_in(host: str, user: str, password: str, environ: Mapping[str, str], *, insecure: bool = False) -> str:
    """Try a credential, keep it where docker would, and return where that is; a wrong one is not kept."""
    address = _registry_of(host)
    credential = Credential(user, password)
    connection = Connection(environ, insecure=insecure)
    try:
        connection.check_login(address, credential)
    finally:
        connection.close()
    return save_credential(address.host, credential, environ)


def log_out(host: str, environ: Mapping[str, str]) -> bool:
    """Forget the credential of a registry, however its host is written; False where there was none."""
    return remove_credential(_registry_of(host).host, environ)


def default_place(source: str) -> str:
    """Where a pulled image goes without a place: a layout in this folder, called as the image is.

    >>> default_place("localhost:5000/income/rf:v1")
    'oci:rf:v1'
    """
    address = parse_address(source)
    return f"oci:{address.name.rpartition('/')[2]}:{address.tag or 'latest'}"


def open_layout(environ: Mapping[str, str]) -> Layout:
    """The layout below MODELYARD_HOME that images pass through: what was fetched once is there."""
    return Layout(Home.from_environ(environ).root / "oci")


@contextmanager
def holding_layout(environ: Mapping[str, str]) -> Iterator[None]:
    """Keep `prune` away from the layout of a home while blobs are in it that nothing names yet."""
    with Home.from_environ(environ).lock(STORE_LOCK, shared=True):
        yield


def _registry_of(host: str) -> Address:
    bare = host.removeprefix("https://").removeprefix("http://").rstrip("/")
    address = parse_address(f"{bare}/any")
    if address.host != bare:
        raise InputError(f"{host!r} is no registry", hint="write its host, and its port where it has one: host:5000")
    return address


def _are_of_one_registry(one: Address | Place, other: Address | Place) -> bool:
    return isinstance(one, Address) and isinstance(other, Address) and one.host == other.host
