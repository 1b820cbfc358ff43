"""The image below, of what an engine tells of it: its inspection, and its history."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.images.configuration import EPOCH, Parent


def describe_parent(inspected: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Parent:
    """The image that an engine tells so of; `history` begins with the newest."""
    diff_ids = tuple(inspected["RootFS"]["Layers"])
    return Parent(
        architecture=inspected["Architecture"],
        os=inspected["Os"],
        variant=inspected.get("Variant") or "",
        config=inspected["Config"],
        diff_ids=diff_ids,
        history=describe_layers(history, len(diff_ids)),
    )


def describe_layers(history: Sequence[Mapping[str, Any]], layers: int) -> list[dict[str, Any]]:
    """The history of a configuration, oldest first, of what the engine's history call tells.

    That call does not tell which entries made no layer: the engine counts the others, and refuses a wrong number.
    """
    entries = [
        {"created": EPOCH, "created_by": entry.get("CreatedBy", ""), "comment": entry.get("Comment", "")}
        for entry in reversed(history)
    ]
    filled = [bool(entry.get("Size")) for entry in reversed(history)]
    for index, entry in enumerate(entries):
        if sum(filled) < layers and not filled[index] and not _only_sets_values(entry["created_by"]):
            filled[index] = True
    if sum(filled) != layers:
        return [{"created": EPOCH, "created_by": "a layer of the image below"} for _ in range(layers)]
    return [
        entry if has_layer else {**entry, "empty_layer": True} for entry, has_layer in zip(entries, filled, strict=True)
    ]


def _only_sets_values(created_by: str) -> bool:
    words = created_by.replace("/bin/sh -c #(nop)", "").split()
    return bool(words) and _VALUES.fullmatch(words[0]) is not None


_VALUES = re.compile("ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME")
