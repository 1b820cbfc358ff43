"""The search that somebody asks for at the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelyard.errors import InputError
from modelyard.flows.definition import Flow, Search, Step
from modelyard.flows.documents import parse_document

_FORM = "write --over train.lr=0.1,0.01 or --over train.lr=log:0.0001..0.1"


def plan_search(flow: Flow, step: str | None, over: Sequence[str], options: Mapping[str, Any]) -> tuple[str, Search]:
    """The step to search and how: what is asked for, over what its search in flow.yaml says."""
    chosen = _choose_step(flow, step)
    if chosen.command is not None:
        raise InputError(f"{chosen.name} is a command, which returns no metric", hint="tune a step that has `run`")
    given = {name: value for name, value in options.items() if value is not None}
    space = dict(parse_over(text) for text in over)
    if chosen.search is None and not (space and "metric" in given):
        raise InputError(
            f"{chosen.name} has no search in {flow.document.path}", hint=f"name --metric, and what to search: {_FORM}"
        )
    base = chosen.search or Search(over=space, metric=given["metric"])
    search = replace(base, **{**given, "over": space or base.over})
    if "method" not in given and any(isinstance(values, dict) for values in search.over.values()):
        search = replace(search, method="random" if search.method == "grid" else search.method)
    return chosen.name, search


def _choose_step(flow: Flow, name: str | None) -> Step:
    if name is not None:
        return flow.step(name, place="the command line")
    searching = [step for step in flow.steps.values() if step.search]
    if len(searching) == 1:
        return searching[0]
    what = f"{len(searching)} steps search" if searching else "no step searches"
    raise InputError(f"{flow.document.path}: {what}", hint=f"name a step: {', '.join(flow.steps)}")


def parse_over(text: str) -> tuple[str, Any]:
    """Read what a parameter is searched over.

    >>> parse_over("train.lr=0.1,0.01"), parse_over("train.lr=log:0.001..1")
    (('train.lr', [0.1, 0.01]), ('train.lr', {'min': 0.001, 'max': 1, 'log': True}))
    """
    name, equals, values = text.partition("=")
    group, dot, key = name.strip().partition(".")
    if not (equals and dot and group and key and values):
        raise InputError(f"--over {text}: it is none of the form group.name=values", hint=_FORM)
    kind, colon, rest = values.partition(":")
    if ".." not in values:
        return name.strip(), [_parse_value(each, text) for each in values.split(",")]
    if colon and kind not in ("log", "whole"):
        raise InputError(f"--over {text}: {kind} is neither log nor whole", hint=_FORM)
    low, _, high = (rest if colon else values).partition("..")
    ends = [_parse_value(each, text) for each in (low, high)]
    if not all(isinstance(each, int | float) for each in ends):
        raise InputError(f"--over {text}: a range is from one number to another", hint=_FORM)
    return name.strip(), {"min": ends[0], "max": ends[1], **({kind: True} if colon else {})}


def _parse_value(text: str, whole: str) -> Any:
    return parse_document(text.strip().encode(), Path(f"--over {whole}")).value if text.strip() else ""
