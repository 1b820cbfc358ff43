"""Where two images that should be equal are not: which file of which layer, and which setting."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from modelyard.images.listing import Listing, Member, opened_layer

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LayerFiles:
    """A layer with the line of `docker history` that made it; `path` is its file, compressed or not."""

    title: str
    listing: Listing
    path: Path


def compare_layers(one: Sequence[LayerFiles], other: Sequence[LayerFiles], names: tuple[str, str]) -> Iterator[str]:
    """A line for each difference; `names` are what the two images are called."""
    for number, (mine, theirs) in enumerate(zip_longest(one, other), 1):
        if mine is None or theirs is None:
            whose = names[0] if theirs is None else names[1]
            yield f"layer {number} ({(mine or theirs).title}): only {whose} has it"
        elif mine.listing.diff_id != theirs.listing.diff_id:
            lines = list(_compare_files(mine, theirs, names)) or ["the same files in another order, or of another time"]
            yield from (f"layer {number} ({mine.title}): {line}" for line in lines)


def compare_settings(
    one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str], place: str = ""
) -> Iterator[str]:
    """A line for each value that differs, by its path in the two configurations."""
    for key in sorted({*one, *other}):
        mine, theirs = one.get(key), other.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from compare_settings(mine, theirs, names, f"{place}{key}.")
        elif mine != theirs:
            yield f"{place}{key}: {names[0]} {mine!r}, {names[1]} {theirs!r}"


def _compare_files(one: LayerFiles, other: LayerFiles, names: tuple[str, str]) -> Iterator[str]:
    mine, theirs = ({each.name: each for each in layer.listing.members} for layer in (one, other))
    digests = [_digest_files(layer) for layer in (one, other)]
    for name in sorted({*mine, *theirs}):
        if name not in theirs or name not in mine:
            yield f"{name}: only in {names[0] if name in mine else names[1]}"
        else:
            facts = [_facts(files[name], found.get(name)) for files, found in zip((mine, theirs), digests, strict=True)]
            changed = [key for key in facts[0] if facts[0][key] != facts[1][key]]
            if changed:
                yield f"{name}: " + ", ".join(f"{key} {facts[0][key]} and {facts[1][key]}" for key in changed)


def _facts(member: Member, digest: str | None) -> dict[str, object]:
    owner, mode = f"{member.uid}:{member.gid}", f"{member.mode:o}"
    return {"kind": member.kind, "mode": mode, "owner": owner, "target": member.target, "content": (digest or "")[:12]}


def _digest_files(layer: LayerFiles) -> dict[str, str]:
    files = sorted((each for each in layer.listing.members if each.kind == "file"), key=lambda each: each.offset)
    found = {}
    with opened_layer(layer.path, layer.title) as stream:
        for member in files:
            stream.seek(member.offset)
            digest, left = hashlib.sha256(), member.size
            while left and (block := stream.read(min(_BLOCK, left))):
                digest.update(block)
                left -= len(block)
            found[member.name] = digest.hexdigest()
    return found
