"""YAML in and out, so that every value stays what it is."""

from collections.abc import Iterable
from typing import Any

import yaml

from modelyard.errors import InputError
from modelyard.manifests.yaml_forms import Dumper, Loader

Manifest = dict[str, Any]
"""An object as Kubernetes reads it: what JSON holds."""


def write_documents(manifests: Iterable[Manifest]) -> str:
    """Objects as YAML documents, their keys in the order in which people read them."""
    return "---\n".join(
        yaml.dump(one, Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=False) for one in manifests
    )


def read_documents(text: str, *, source: str) -> list[Manifest]:
    """The objects of a YAML (or JSON) file, lists taken apart; raise InputError with the line for what is none."""
    try:
        documents = [one for one in yaml.load_all(text, Loader=Loader) if one is not None]
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{source}{line}: {error.problem or error}", hint="correct the file") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: no YAML ({str(error).splitlines()[0]})", hint="correct the file") from None
    objects: list[Manifest] = []
    for one in documents:
        if not isinstance(one, dict):
            raise InputError(f"{source}: holds {type(one).__name__}, not an object", hint="begin with apiVersion, kind")
        is_list = one.get("kind") == "List" and isinstance(one.get("items"), list)
        objects.extend(one["items"] if is_list else [one])
    return objects
