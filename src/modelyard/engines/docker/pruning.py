"""Remove what nothing uses: ended containers, untagged images, dependencies of none, old builders, half-made builds."""

from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.containers import CONTAINER_LABEL
from modelyard.engines.docker.dependencies import remove_abandoned
from modelyard.engines.docker.old_builders import remove_old_builders
from modelyard.engines.docker.workshop import WORKSHOP, is_abandoned, remove_container
from modelyard.engines.protocols import Pruned
from modelyard.images.application import IMAGE_LABEL
from modelyard.images.builder import ROLE_LABEL
from modelyard.images.dependencies import KEY_LABEL, SETUP_LABEL
from modelyard.machine.home import Home
from modelyard.runtime import scratch

_ENDED = ("exited", "created", "configured", "stopped", "dead")

_TITLES = ("source:", "runtime:", "requirements", "environment:")


def prune(client: Client) -> Pruned:
    """Remove them and say what was removed."""
    containers = _remove_containers(client)
    listed = client.list_images(ROLE_LABEL)
    with client.talking("list the containers"):
        used = {item["ImageID"] for item in client.api.containers(all=True)}
    applications = [item for item in listed if IMAGE_LABEL in item["Labels"]]
    images = [item for item in applications if not _tags(item) and item["Id"] not in used]
    kept = {item["Labels"].get(KEY_LABEL) for item in applications if item not in images}
    others = [item for item in listed if item["Labels"].get(ROLE_LABEL) == "dependencies"]
    environments = [item for item in others if item["Labels"].get(KEY_LABEL) not in kept]
    in_use = {item["Labels"].get(SETUP_LABEL) for item in others if item not in environments}
    setups = [
        item
        for item in listed
        if item["Labels"].get(ROLE_LABEL) == "setup" and item["Labels"].get(SETUP_LABEL) not in in_use
    ]
    removed = [*images, *environments, *setups]
    freed = _own_layers(client, removed) - _own_layers(client, [item for item in listed if item not in removed])
    for item in removed:
        _remove_image(client, item)
    home = Home.from_environ(client.environ)
    home.remove_free_locks()
    return Pruned(
        builders=tuple(remove_old_builders(client)),
        images=tuple(item["Id"].removeprefix("sha256:") for item in images),
        environments=tuple(item["Labels"][KEY_LABEL] for item in environments),
        containers=tuple(containers),
        freed=sum(size for _, size in freed) + remove_abandoned(home) + scratch.remove_abandoned(),
    )


def _remove_containers(client: Client) -> Iterable[str]:
    ended = [item for item in client.list_containers(CONTAINER_LABEL) if item["State"] in _ENDED]
    with client.talking("list the containers"):
        workshops = client.api.containers(all=True, filters={"name": WORKSHOP})
    abandoned = [item for item in workshops if any(map(is_abandoned, item["Names"]))]
    for item in (*ended, *abandoned):
        remove_container(client, item["Id"])
    return [item["Labels"][CONTAINER_LABEL] for item in ended]


def _own_layers(client: Client, items: Iterable[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """The layers that images have on top of their platforms, which others may share: titles and sizes."""
    found: set[tuple[str, int]] = set()
    for item in items:
        with client.talking("measure the images"):
            history = client.api.history(item["Id"])
        titled = {(each["CreatedBy"], int(each["Size"])) for each in history if each["CreatedBy"].startswith(_TITLES)}
        found |= titled or {(item["Id"], int(history[0]["Size"]))}
    return found


def _remove_image(client: Client, item: Mapping[str, Any]) -> None:
    with client.talking(f"remove {item['Id'][7:19]}"):
        for name in _tags(item) or [item["Id"]]:
            client.api.remove_image(name)


def _tags(item: Mapping[str, Any]) -> list[str]:
    return [tag for tag in item.get("RepoTags") or () if not tag.startswith("<none>")]
