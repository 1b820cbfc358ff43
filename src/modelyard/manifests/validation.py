"""Strict validation: unknown kinds and fields, wrong types, enums, quantities and names, each with its path."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelyard.errors import InputError, ModelyardError
from modelyard.manifests.constraints import ENUMS, PATTERNS, RANGES
from modelyard.manifests.documents import Manifest
from modelyard.runtime.nearest import ask_whether_meant

_OWN = resources.files("modelyard.manifests") / "schemas"
_INSTALL = "pip install 'modelyard[kubernetes]'"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with an object, and where."""

    object: str
    """`Deployment/income`."""
    path: str
    """`spec.template.spec.containers[0].image`; empty for the object itself."""
    message: str

    def __str__(self) -> str:
        return f"{self.object}: {self.path + ': ' if self.path else ''}{self.message}"


def known_versions() -> tuple[str, ...]:
    """The versions of Kubernetes that objects can be validated for, the newest last: `1.25` to `1.37`."""
    folder = _kubernetes_schemas()
    found = {
        (int(match[1]), int(match[2]))
        for one in folder.iterdir()
        if (match := re.fullmatch(r"v(\d+)\.(\d+)\.\d+-local-strict", one.name))
    }
    return tuple(f"{major}.{minor}" for major, minor in sorted(found))


def choose_version(asked: str | None) -> str:
    """The version that is asked for, else the newest known; raise InputError for one that is not known."""
    versions = known_versions()
    chosen = asked.removeprefix("v") if asked else versions[-1]
    if chosen not in versions:
        raise InputError(
            f"--kubernetes {asked}: there are schemas of {versions[0]} to {versions[-1]}",
            hint="name the version of your cluster as 1.31: kubectl version",
        )
    return chosen


def find_faults(manifests: Iterable[Manifest], *, version: str) -> list[Fault]:
    """Everything that a cluster of this version would refuse or silently drop, in the order of the objects."""
    return [fault for one in manifests for fault in _faults_of(one, version)]


def check_all(manifests: Sequence[Manifest], *, version: str, source: str = "") -> None:
    """Raise InputError with every fault there is."""
    faults = find_faults(manifests, version=version)
    if faults:
        place = f"{source}: " if source else ""
        lines = "\n  ".join(str(fault) for fault in faults)
        raise InputError(
            f"{place}{len(faults)} that Kubernetes {version} does not take:\n  {lines}",
            hint="correct the fields; --kubernetes names the version of the cluster",
        )


def describe(manifest: Manifest) -> str:
    """Name an object for people.

    >>> describe({"kind": "Service", "metadata": {"name": "income"}})
    'Service/income'
    """
    metadata = manifest.get("metadata")
    name = metadata.get("name", "?") if isinstance(metadata, dict) else "?"
    return f"{manifest.get('kind', '?')}/{name}"


def _faults_of(manifest: Manifest, version: str) -> Iterator[Fault]:
    which = describe(manifest)
    kind, api = manifest.get("kind"), manifest.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(api, str):
        yield Fault(object=which, path="", message="has no apiVersion and kind")
        return
    validator = _find_validator(api, kind, version)
    if validator is None:
        kinds = sorted({one.kind for one in _kinds(version)})
        yield Fault(object=which, path="", message=_explain_kind(api, kind, kinds, version))
        return
    errors = sorted(validator.iter_errors(manifest), key=lambda error: [str(part) for part in error.absolute_path])
    for error in errors:
        yield from (Fault(object=which, path=path, message=text) for path, text in _explain(error))
    if not errors:
        yield from _check_name(manifest, which)
        yield from _check_selector(manifest, which)


@dataclass(frozen=True)
class _Kind:
    api: str
    kind: str


def _explain_kind(api: str, kind: str, kinds: Sequence[str], version: str) -> str:
    apis = sorted({one.api for one in _kinds(version) if one.kind == kind})
    if apis:
        return f"{api} {kind} is not in Kubernetes {version}: there it is in {', '.join(apis)}"
    return f"{api} {kind} is no kind of Kubernetes {version} that is known here{ask_whether_meant(kind, kinds)}"


def _explain(error: Any) -> Iterator[tuple[str, str]]:
    """Paths and words of a mistake: an unknown field is at its own path, a choice at that of its closest branch."""
    path = _format_path(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        for name in error.instance:
            if name not in known:
                place = f"{path}.{name}" if path else str(name)
                yield place, f"there is no such field{ask_whether_meant(str(name), list(known))}"
    elif error.validator == "enum":
        allowed = [str(value) for value in error.validator_value if value is not None]
        yield path, f"{error.instance!r} is none of {', '.join(allowed)}"
    elif error.validator == "pattern":
        yield path, f"{error.instance!r} is not {error.schema.get('$comment', 'of the form that is asked for')}"
    elif error.validator == "required":
        missing = next((name for name in error.validator_value if name not in error.instance), "?")
        yield path, f"{missing} is missing"
    elif error.validator == "oneOf" and error.schema.get("$comment"):
        yield path, f"{error.instance!r} is not {error.schema['$comment']}"
    else:
        yield path, error.message if len(error.message) < 300 else f"{error.message[:300]}..."


def _format_path(parts: Iterable[str | int]) -> str:
    text = ""
    for part in parts:
        plain = isinstance(part, str) and re.fullmatch(r"[\w-]+", part)
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if plain else f"[{part!r}]"
    return text.removeprefix(".")


def _check_name(manifest: Manifest, which: str) -> Iterator[Fault]:
    """Names are lower-case, but for those of RBAC, and an object has one."""
    metadata = manifest.get("metadata") or {}
    name = metadata.get("name")
    if not name:
        if not metadata.get("generateName"):
            yield Fault(object=which, path="metadata", message="name is missing")
    elif name != name.lower() and not str(manifest["apiVersion"]).startswith("rbac."):
        yield Fault(object=which, path="metadata.name", message=f"{name!r} is not in lower case")


def _check_selector(manifest: Manifest, which: str) -> Iterator[Fault]:
    """A selector that does not match its own pods is refused by a cluster, and no schema says so."""
    spec = manifest.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("template"), dict):
        return
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    given = (spec["template"].get("metadata") or {}).get("labels") or {}
    for key, value in wanted.items():
        if given.get(key) != value:
            yield Fault(
                object=which,
                path=_format_path(("spec", "selector", "matchLabels", key)),
                message=f"{value!r} is not what its own pods have ({given.get(key)!r})",
            )


def _kubernetes_schemas() -> Path:
    """The schemas that the package kubernetes-validate carries; the package itself is not imported for them."""
    found = find_spec("kubernetes_validate")
    if found is None or not found.submodule_search_locations:
        raise ModelyardError(
            "Kubernetes objects can't be validated: the Python package kubernetes-validate is missing", hint=_INSTALL
        )
    return Path(found.submodule_search_locations[0]) / "kubernetes-json-schema"


@cache
def _definitions(version: str) -> Mapping[str, Any]:
    """Every type of a version, with the enums, forms and ranges that the published schemas leave to prose."""
    path = _kubernetes_schemas() / f"v{version}.0-local-strict" / "_definitions.json"
    definitions: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["$defs"]
    for table in (ENUMS, RANGES, PATTERNS):
        for place, more in table.items():
            name, _, field = place.rpartition("/")
            properties = definitions.get(name, {}).get("properties", {})
            if field in properties:
                properties[field] = _add(properties[field], more)
    quantity = definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    quantity.clear()
    quantity.update(PATTERNS["quantity"])
    return definitions


def _add(schema: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A type with more asked of it; of a list or a map, of what it holds."""
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            return {**schema, inner: {**schema[inner], **more}}
    return {**schema, **more}


@cache
def _kinds(version: str) -> tuple[_Kind, ...]:
    """Every kind that can be validated, of Kubernetes and of the packages beside it."""
    built_in = [
        _Kind(f"{group['group']}/{group['version']}".lstrip("/"), group["kind"])
        for one in _definitions(version).values()
        for group in one.get("x-kubernetes-group-version-kind", ())
    ]
    return tuple(dict.fromkeys([*built_in, *(_Kind(api, kind) for api, kind in _own_schemas())]))


@cache
def _own_schemas() -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """The trimmed schemas of the package, by apiVersion and kind."""
    found = {}
    for file in sorted(_OWN.iterdir(), key=lambda one: one.name):
        if file.name.endswith(".json"):
            schema = json.loads(file.read_text(encoding="utf-8"))
            found[schema["x-api-version"], schema["x-kind"]] = schema
    return found


@cache
def _find_validator(api: str, kind: str, version: str) -> Any:
    try:
        from jsonschema.validators import Draft202012Validator
        from referencing import Registry, Resource
        from referencing.jsonschema import DRAFT202012
    except ModuleNotFoundError as error:
        raise ModelyardError(
            f"Kubernetes objects can't be validated: the Python package {error.name} is missing", hint=_INSTALL
        ) from None
    own = _own_schemas().get((api, kind))
    schema = _inline(own, version) if own else _built_in(api, kind, version)
    if schema is None:
        return None
    definitions = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": _definitions(version)}
    resource = Resource(contents=definitions, specification=DRAFT202012)
    registry = Registry().with_resources([("kubernetes", resource), ("/api/_definitions.json", resource)])
    return Draft202012Validator(schema, registry=registry)


def _inline(schema: Any, version: str) -> Any:
    """A trimmed schema with the fields of the types that it takes over."""
    if isinstance(schema, list):
        return [_inline(one, version) for one in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: _inline(value, version) for key, value in schema.items()}
    if name := done.pop("x-inline", None):
        taken = {field: _absolute(type_) for field, type_ in _definitions(version)[name]["properties"].items()}
        done["properties"] = {**taken, **done["properties"]}
    return done


def _absolute(schema: Any) -> Any:
    """A type with references that hold outside of the definitions as well."""
    if isinstance(schema, list):
        return [_absolute(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"kubernetes{value}" if key == "$ref" and str(value).startswith("#") else _absolute(value)
        for key, value in schema.items()
    }


def _built_in(api: str, kind: str, version: str) -> Mapping[str, Any] | None:
    group, _, number = api.rpartition("/")
    wanted = {"group": group, "kind": kind, "version": number}
    for name, one in _definitions(version).items():
        if wanted in one.get("x-kubernetes-group-version-kind", ()):
            return {"$ref": f"kubernetes#/$defs/{name}", "required": ["apiVersion", "kind", "metadata"]}
    return None
