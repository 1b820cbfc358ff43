"""Put layers on an image: exactly, by loading an archive; by a container and a commit where only that is possible."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.parent import describe_parent
from modelyard.errors import EngineError
from modelyard.images.archive import stream_archive
from modelyard.images.configuration import Change, image_id, make_config
from modelyard.images.instructions import format_instructions


def stack_layers(client: Client, parent: str, change: Change) -> str:
    """Make the image that is `parent` with `change` on top; return its id.

    Loaded, the same change on the same parent gives the same id on every machine. Committed, the id has the time in it.
    """
    below = _inspect(client, parent)
    if client.loads_parts:
        return _load(client, below, change)
    from modelyard.engines.docker.workshop import open_workshop

    with open_workshop(client, parent, start=False, title=change.title) as workshop:
        for _, layer in change.layers:
            with layer.path.open("rb") as file:
                workshop.upload(file, "/")
        command = change.command if change.command is not None else below["Config"].get("Cmd") or ()
        user = below["Config"].get("User") or "0"
        return workshop.commit(title=change.title, changes=_instructions(change, command, user))


def _inspect(client: Client, image: str) -> Mapping[str, Any]:
    """What the engine tells of an image; Podman leaves the health check out of its answers in Docker's format."""
    with client.talking(f"look at {image}"):
        found: dict[str, Any] = client.asks.inspect_image(image)
        if client.is_podman:
            own = client.api.get(f"{client.api.base_url}/v4.0.0/libpod/images/{found['Id']}/json").json()
            found["Config"]["Healthcheck"] = own.get("Healthcheck")
    return found


def _load(client: Client, below: Mapping[str, Any], change: Change) -> str:
    with client.talking(f"add {change.title}"):
        history: Sequence[Mapping[str, Any]] = client.asks.history(below["Id"])
        config = make_config(describe_parent(below, history), change)
        for event in client.asks.load_image(stream_archive(config, change), quiet=True):
            if "error" in event:
                raise EngineError(f"the engine could not load {change.title}: {event['error']}")
    return image_id(config)


def _instructions(change: Change, command: Sequence[str], user: str) -> list[str]:
    return [
        *format_instructions("ENV", change.environment),
        *format_instructions("LABEL", change.labels),
        f"CMD {json.dumps(list(command))}",
        f"USER {user}",
    ]
