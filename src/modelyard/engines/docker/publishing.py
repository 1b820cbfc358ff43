"""Push an image of an engine to a registry: the engine itself does it, with the credentials that this command found."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from modelyard.engines.docker.client import Client
from modelyard.engines.oci.address import Address
from modelyard.engines.oci.credentials import Credential
from modelyard.errors import EngineError

_LOGIN = ("unauthorized", "authentication required", "no basic auth", "denied", "invalid username/password")


def push_image(
    client: Client,
    image: str,
    address: Address,
    credential: Credential | None,
    *,
    insecure: bool,
    on_transfer: Callable[[int, int], None],
) -> tuple[str, int | None]:
    """Push the image of the id `image` by a tag; return the digest that the registry has it by, and the bytes sent.

    Podman tells neither: "" and None. The engine asks the registry what it has, and sends what is missing. Its own name
    for the image is gone afterwards.
    """
    if address.digest is not None:
        raise EngineError(f"{address}: an engine pushes by a tag", hint="write host/name:tag")
    repository, tag = f"{address.host}/{address.name}", address.tag or "latest"
    with client.talking(f"push {address}"):
        client.api.tag(f"sha256:{image.removeprefix('sha256:')}", repository, tag, force=True)
        try:
            if client.is_podman:
                for event in _push_by_podman(client, f"{repository}:{tag}", address, credential, insecure=insecure):
                    _raise_error(event, address)
                return "", None
            events = client.api.push(repository, tag, stream=True, decode=True, auth_config=_auth(credential, address))
            return _follow(events, address, on_transfer)
        finally:
            client.api.remove_image(f"{repository}:{tag}", noprune=True, force=False)


def _follow(
    events: Iterator[dict[str, Any]], address: Address, on_transfer: Callable[[int, int], None]
) -> tuple[str, int]:
    sent: dict[str, int] = {}
    total: dict[str, int] = {}
    digest = ""
    for event in events:
        _raise_error(event, address)
        digest = (event.get("aux") or {}).get("Digest") or digest
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Pushing" and detail.get("current"):
            sent[event["id"]] = detail["current"]
            total[event["id"]] = max(detail.get("total", 0), detail["current"])
            on_transfer(sum(sent.values()), sum(total.values()))
    return digest, sum(sent.values())


def _push_by_podman(
    client: Client, name: str, address: Address, credential: Credential | None, *, insecure: bool
) -> Iterator[dict[str, Any]]:
    """Podman's own call: its form of Docker's knows no way to speak plain HTTP to this machine."""
    url = f"{client.api.base_url}/v4.0.0/libpod/images/{quote(name, safe='')}/push"
    auth = base64.urlsafe_b64encode(json.dumps(_auth(credential, address)).encode()).decode()
    is_checked = str(not (insecure or address.is_loopback)).lower()
    options = {"params": {"tlsVerify": is_checked, "quiet": "false"}, "headers": {"X-Registry-Auth": auth}}
    with client.api.post(url, stream=True, **options) as answer:
        answer.raise_for_status()
        yield from (json.loads(line) for line in answer.iter_lines() if line)


def _auth(credential: Credential | None, address: Address) -> dict[str, str]:
    """What the engine's API takes: https://docs.docker.com/reference/api/engine/ (Authentication)."""
    if credential is None:
        return {}
    if credential.is_identity_token:
        return {"identitytoken": credential.secret, "serveraddress": address.host}
    return {"username": credential.user, "password": credential.secret, "serveraddress": address.host}


def _raise_error(event: dict[str, Any], address: Address) -> None:
    if "error" not in event:
        return
    said = str(event["error"]).strip()
    hint = "is the registry in reach of the engine?"
    if any(words in said for words in _LOGIN):
        hint = f"modelyard login {address.host}"
    if "server gave HTTP response to HTTPS client" in said:
        hint = "the engine talks plain HTTP only to loopback, and to its own insecure-registries"
    raise EngineError(f"the engine could not push {address}: {said}", hint=hint)
