"""Why a step would run: what differs between what it depends on now and what it last ran of."""

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from modelyard.flows.keys import Basis

FileText = Callable[[str, str], str | None]
"""Takes a path and the digest of its content; returns the text."""
_MOST = 5


def explain(new: Basis, old: Mapping[str, Any], *, text_of: FileText) -> list[str]:
    """Sentences, the nearest cause first."""
    params = list(_explain_params(new.params, old["params"]))
    return [
        *_explain_work(new, old),
        *params,
        *(() if params else _explain_search(new.search, old.get("search"))),  # whose values are parameters
        *_explain_inputs(new.inputs, old["inputs"]),
        *_explain_files(new.source.files, old["source"]["files"], text_of),
        *(["its requirements have changed"] if new.source.requirements != old["source"]["requirements"] else ()),
    ]


def _explain_work(new: Basis, old: Mapping[str, Any]) -> Iterator[str]:
    if new.work != old["work"]:
        yield f"it was {old['work'].strip()}, and is {new.work.strip()}"
    if dict(new.outputs) != old["outputs"]:
        yield "its outputs are others"


def _explain_params(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    before, after = _flatten(old), _flatten(new)
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"it reads {name} ({json.dumps(after[name])}), which is new"
        elif name not in after:
            yield f"it does not read {name} any more"
        elif before[name] != after[name]:
            yield f"{name} was {json.dumps(before[name])}, and is {json.dumps(after[name])}"


def _explain_search(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> Iterator[str]:
    before, after = old or {}, new or {}
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            was, now = (json.dumps(each.get(name)) for each in (before, after))
            yield f"its search has another {name}: it was {was}, and is {now}"


def _explain_inputs(new: Mapping[str, str], old: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*new, *old}):
        if name not in old:
            yield f"its input {name} is new"
        elif name not in new:
            yield f"it does not take {name} any more"
        elif new[name] != old[name]:
            yield f"its input {name} has changed"


def _explain_files(new: Mapping[str, str], old: Mapping[str, str], text_of: FileText) -> Iterator[str]:
    names = [name for name in sorted({*new, *old}) if new.get(name) != old.get(name)]
    for name in names[:_MOST]:
        if name not in old:
            yield f"{name} is new"
        elif name not in new:
            yield f"{name} is gone"
        else:
            yield f"{name}{_first_line(text_of(name, old[name]), text_of(name, new[name]))} has changed"
    if len(names) > _MOST:
        yield f"{len(names) - _MOST} other files have changed"


def _first_line(before: str | None, after: str | None) -> str:
    """`:12`, the line of the new text that the change begins at; nothing where there are no texts to compare."""
    if before is None or after is None:
        return ""
    matcher = SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    starts = [start for tag, _, _, start, _ in matcher.get_opcodes() if tag != "equal"]
    return f":{starts[0] + 1}" if starts else ""


def _flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{group}.{name}": value for group, about in params.items() for name, value in about.items()}
