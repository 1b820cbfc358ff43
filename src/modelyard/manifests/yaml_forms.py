"""How YAML is written and read: strings quoted unless they are plain for every reader, no key twice."""

import re
from typing import Any

import yaml

# Everything else is quoted: readers of YAML 1.1 and 1.2 disagree on `no`, `1e3`, `0777`, `12:30`, `1_000`.
_PLAIN = re.compile(r"[A-Za-z/](?:[\w./@+-]|:(?=[\w/]))*", re.ASCII)
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))


class Dumper(yaml.SafeDumper):
    """Writes lists indented, strings quoted unless they are plain for every reader, nothing folded or aliased."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    style = None if plain else "|" if _is_lines(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_lines(text: str) -> bool:
    """Tell whether a text of several lines can be written as it is."""
    return (
        "\n" in text.rstrip("\n") and text.isprintable() is False and not re.search(r"[^\n\x20-\x7e]|[ ]\n|^\s", text)
    )


Dumper.add_representer(str, _represent_text)


class Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, where YAML's readers silently take the last one."""


def _construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                problem=f"the key {key!r} is no text: quote it", problem_mark=key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"{key!r} is there twice, the first time in line {seen[key]}", problem_mark=key_node.start_mark
            )
        seen[key] = line
    return loader.construct_mapping(node, deep=True)


Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
