"""Images by name: found in the engine, or pulled from their registry."""

from collections.abc import Mapping
from typing import Any

from modelyard.engines.docker.client import Client, is_missing
from modelyard.engines.docker.events import raise_error
from modelyard.engines.protocols import OnOutput
from modelyard.errors import EngineError
from modelyard.images.builder import BASE_IMAGE


def find_image(client: Client, reference: str) -> Mapping[str, Any] | None:
    """What the engine tells of an image; None where it has none of that name."""
    try:
        with client.talking(f"look at {reference}"):
            image: Mapping[str, Any] = client.asks.inspect_image(reference)
            return image
    except EngineError as error:
        if is_missing(error):
            return None
        raise


def ensure_base(client: Client, reference: str, on_output: OnOutput) -> str:
    """The id of the base image, pulled where the engine has not got it."""
    found = find_image(client, reference)
    if found is None:
        try:
            pull_image(client, reference, on_output)
        except EngineError as error:
            raise EngineError(
                error.message,
                hint="no registry within reach? `make base-image` makes one of Debian packages and says how to use it; "
                f"{BASE_IMAGE} names another image; --engine local needs none",
            ) from None
        found = find_image(client, reference)
    if found is None:
        raise EngineError(f"{reference} was pulled, but is not there", hint=f"name another with {BASE_IMAGE}")
    return str(found["Id"])


def pull_image(client: Client, reference: str, on_output: OnOutput) -> None:
    """Pull an image from its registry, with the login that `docker login` left; raise EngineError where it can't be."""
    on_output(f"---> image {reference}: pull it")
    with client.talking(f"pull {reference}"):
        for event in client.api.pull(*_split(reference), stream=True, decode=True):
            raise_error(event, f"pull {reference}")


def _split(reference: str) -> tuple[str, str]:
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")
