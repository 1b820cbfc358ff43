"""Builder images that a newer one has taken the place of, and that nothing was built on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.engines.docker.client import Client, is_missing
from modelyard.engines.docker.images import parse_time
from modelyard.errors import EngineError
from modelyard.images.builder import BUILDER_LABEL, ROLE_LABEL

_ROLES = ("builder", "toolbox", "platform")


@dataclass(frozen=True, kw_only=True)
class BuilderImage:
    """One image of a builder. `family` has all its versions and is empty for one that has lost its tag to another.

    `key` is what the platform and the toolbox of a version have in common.
    """

    id: str
    family: str
    role: str
    key: str
    created: float
    layers: Sequence[str]


def find_old(builders: Sequence[BuilderImage], built: Iterable[Sequence[str]]) -> Iterator[BuilderImage]:
    """Those that are not the newest of their family and that none of the images `built` (their layers) stands on.

    A toolbox, which nothing stands on, goes with its platform.
    """
    newest = {item.family: item for item in sorted(builders, key=lambda item: item.created)}
    below = {tuple(layers[:count]) for layers in built for count in range(1, len(layers) + 1)}
    used = {item.id for item in builders if tuple(item.layers) in below}
    keys = {item.key for item in builders if item.role == "platform" and item.id in used}
    for item in builders:
        is_needed = item.id in used or (item.role == "toolbox" and item.key in keys)
        is_current = item.family and newest[item.family] is item
        if not is_current and not is_needed:
            yield item


def remove_old_builders(client: Client) -> list[str]:
    """Remove the old ones of the namespace, and return their ids.

    What stands on them may belong to any namespace: builder images are everybody's.
    """
    listed = client.list_all_images(ROLE_LABEL)
    own = [item for item in listed if _is_builder(item) and client.namespace.holds(item["Labels"])]
    built = [_layers(client, item) for item in listed if not _is_builder(item)]
    old = {item.id: item for item in find_old([_describe(client, item) for item in own], built)}
    return [item["Id"] for role in _ROLES for item in own if item["Id"] in old and _remove(client, item, role)]


def _remove(client: Client, item: Mapping[str, Any], role: str) -> bool:
    """Remove an image that has a role; not one that the engine knows another use of."""
    if item["Labels"][ROLE_LABEL] != role:
        return False
    try:
        with client.talking(f"remove {item['Id'][7:19]}"):
            for name in _tags(item) or [item["Id"]]:
                client.api.remove_image(name)
    except EngineError:
        return False
    return True


def _is_builder(item: Mapping[str, Any]) -> bool:
    """Tell one from what stands on it, which has its labels as well."""
    return item["Labels"][ROLE_LABEL] in _ROLES and BUILDER_LABEL in item["Labels"]


def _tags(item: Mapping[str, Any]) -> list[str]:
    return [tag for tag in item.get("RepoTags") or () if not tag.startswith("<none>")]


def _describe(client: Client, item: Mapping[str, Any]) -> BuilderImage:
    return BuilderImage(
        id=item["Id"],
        family=next((tag.rpartition("-")[0] for tag in _tags(item)), ""),
        role=item["Labels"][ROLE_LABEL],
        key=item["Labels"][BUILDER_LABEL],
        created=_last_made(client, item),
        layers=_layers(client, item),
    )


def _last_made(client: Client, item: Mapping[str, Any]) -> float:
    """When an image got its tag: a platform that was laid says of itself that it was made in 1970."""
    found = _inspect(client, item)
    return parse_time((found.get("Metadata") or {}).get("LastTagTime"), found.get("Created")).timestamp()


def _layers(client: Client, item: Mapping[str, Any]) -> Sequence[str]:
    """The layers of an image; none of one that another process has removed meanwhile."""
    return tuple((_inspect(client, item).get("RootFS") or {}).get("Layers") or ())


def _inspect(client: Client, item: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the engine tells of an image; nothing of one that another process has removed meanwhile."""
    try:
        with client.talking(f"look at {item['Id'][7:19]}"):
            found: Mapping[str, Any] = client.asks.inspect_image(item["Id"])
            return found
    except EngineError as error:
        if is_missing(error):
            return {}
        raise
