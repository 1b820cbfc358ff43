"""A YAML file and the line that each of its values stands on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import InputError, at

Place = tuple[str | int, ...]
"""The keys that lead to a value."""

_MOST = 1_000_000  # bytes


class _Loader(yaml.SafeLoader):
    """YAML as its version 1.2 has it: `1e-3` is a number, `no` and `1:30` are words, `2026-01-01` is no date."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _as_whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if re.match(r"0[ox]", text) else int(text)


def _as_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _as_whole)
_Loader.add_constructor("tag:yaml.org,2002:float", _as_number)


@dataclass(frozen=True, kw_only=True)
class Document:
    """The value of a file; `{}` for one that is empty or not there."""

    path: Path
    value: Any
    lines: Mapping[Place, int] = field(default_factory=dict)

    def where(self, *place: str | int) -> str:
        """`file:line` of a value, or of the nearest one around it that has a line."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.lines:
                return at(self.path, self.lines[place[:length]])
        return str(self.path)


def read_document(path: Path) -> Document:
    """Read a YAML file; raise InputError with file and line for what is none, or has a key twice."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Document(path=path, value={})
    except OSError as error:
        raise InputError(
            f"{path}: it can't be read ({error.strerror})", hint="is it a file that you may read?"
        ) from None
    return parse_document(content, path)


def parse_document(content: bytes, path: Path) -> Document:
    """Parse YAML as `read_document` does."""
    if len(content) > _MOST:
        raise InputError(
            f"{path}: {len(content)} bytes are no configuration", hint="data belongs into files of its own"
        )
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        node = loader.get_single_node()
        lines: dict[Place, int] = {}
        _note_lines(node, (), lines, path, set())
        value = {} if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise InputError(
            f"{at(path, line)}: no YAML: {error.problem}", hint="mind the indentation and quotes"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: no YAML: {error}", hint="it is text in UTF-8") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply", hint="a configuration has groups and names") from None
    return Document(path=path, value={} if value is None else value, lines=lines)


def _note_lines(node: yaml.Node | None, place: Place, lines: dict[Place, int], path: Path, above: set[int]) -> None:
    if node is None:
        return
    if id(node) in above:
        raise InputError(f"{at(path, node.start_mark.line + 1)}: it contains itself", hint="take the alias out")
    lines.setdefault(place, node.start_mark.line + 1)
    inside = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = getattr(key, "value", None)
            line = key.start_mark.line + 1
            if not isinstance(name, str) or key.tag != "tag:yaml.org,2002:str":
                raise InputError(f"{at(path, line)}: {name} is no word, as a name is", hint="put it into quotes")
            if (*place, name) in lines:
                raise InputError(
                    f"{at(path, line)}: {name!r} stands there twice, first in line {lines[*place, name]}",
                    hint="which one is meant? Take the other out",
                )
            lines[*place, name] = line
            _note_lines(value, (*place, name), lines, path, inside)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*place, index), lines, path, inside)
