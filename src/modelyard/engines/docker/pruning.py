"""Remove what nothing uses: ended containers, untagged images, dependencies of none, old builders, half-made builds."""

from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.engines.docker.application import IMAGE_LABEL
from modelyard.engines.docker.builder_image import ROLE_LABEL
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.containers import CONTAINER_LABEL
from modelyard.engines.docker.dependency_plan import KEY_LABEL, SETUP_LABEL
from modelyard.engines.docker.old_builders import remove_old_builders
from modelyard.engines.docker.workshop import WORKSHOP, is_abandoned, remove_container
from modelyard.engines.protocols import Pruned

_ENDED = ("exited", "created", "configured", "stopped", "dead")


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
    freed = sum(_own_size(client, item) for item in (*images, *environments, *setups))
    for item in (*images, *environments, *setups):
        _remove_image(client, item)
    return Pruned(
        builders=tuple(remove_old_builders(client)),
        images=tuple(item["Id"].removeprefix("sha256:") for item in images),
        environments=tuple(item["Labels"][KEY_LABEL] for item in environments),
        containers=tuple(containers),
        freed=freed,
    )


def _remove_containers(client: Client) -> Iterable[str]:
    ended = [item for item in client.list_containers(CONTAINER_LABEL) if item["State"] in _ENDED]
    with client.talking("list the containers"):
        workshops = client.api.containers(all=True, filters={"name": WORKSHOP})
    abandoned = [item for item in workshops if any(map(is_abandoned, item["Names"]))]
    for item in (*ended, *abandoned):
        remove_container(client, item["Id"])
    return [item["Labels"][CONTAINER_LABEL] for item in ended]


def _own_size(client: Client, item: Mapping[str, Any]) -> int:
    """Bytes of the layers that an image adds to the one below."""
    with client.talking("measure the images"):
        history = client.api.history(item["Id"])
    titles = ("source:", "runtime:") if IMAGE_LABEL in item["Labels"] else ("requirements", "environment:")
    return sum(entry["Size"] for entry in history if entry["CreatedBy"].startswith(titles)) or int(history[0]["Size"])


def _remove_image(client: Client, item: Mapping[str, Any]) -> None:
    with client.talking(f"remove {item['Id'][7:19]}"):
        for name in _tags(item) or [item["Id"]]:
            client.api.remove_image(name)


def _tags(item: Mapping[str, Any]) -> list[str]:
    return [tag for tag in item.get("RepoTags") or () if not tag.startswith("<none>")]
