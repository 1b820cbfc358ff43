"""A project's configuration: config-default.yaml, config.yaml over it, and `--set` over both."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.errors import InputError
from modelyard.flows.definition import Flow, Step
from modelyard.flows.documents import Document, parse_document, read_document
from modelyard.flows.schema import CONFIG, check_document, read_own_schema
from modelyard.runtime.nearest import ask_whether_meant, describe_choices

DEFAULT_FILE = "config-default.yaml"
USER_FILE = "config.yaml"
SCHEMA_FILE = "config.schema.json"
_SECRET_NAME = re.compile(
    r"(access_?key|secret|passw(or)?d|passphrase|token|credential|api_?key)(_?id)?$", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"(AKIA|ASIA)[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|://[^/@:\s]+:[^/@\s]+@")
_KEYS_HINT = (
    "take it out: keys come by the SDK's own chain, `environment: [AWS_*]` of a step, or ~/.aws; and never into a file"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The parameters by group and name, and what each comes from, as errors and plans say it."""

    values: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """The value of group.name."""
        group, _, key = name.partition(".")
        return self.values[group][key]

    def where(self, name: str) -> str:
        """The file and line, or the option, that a parameter comes from."""
        return self.origins.get(name, name)

    def pick(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Of groups and parameters, their values by group."""
        picked: dict[str, dict[str, Any]] = {}
        for name in names:
            group, dot, key = name.partition(".")
            picked.setdefault(group, {}).update({key: self.values[group][key]} if dot else self.values[group])
        return picked


def read_config(flow: Flow, *, sets: Sequence[str] = ()) -> Config:
    """Read a project's configuration and check it; raise InputError for everything that is wrong in it."""
    default, user = (read_document(flow.project / name) for name in (DEFAULT_FILE, USER_FILE))
    for document in (default, user):
        check_document(document, read_own_schema(CONFIG), hint="a configuration has groups, and in them names")
        refuse_secrets(document)
    config = _lay_over(Config(values={}), default, checked=False)
    config = _lay_over(config, user, checked=(flow.project / DEFAULT_FILE).is_file())
    for text in sets:
        config = _set(config, text)
    _check_own_schema(config, flow.project / SCHEMA_FILE)
    check_sums(flow, config)
    for step in flow.steps.values():
        _check_reads(step, flow.document, config)
    return config


def _lay_over(config: Config, document: Document, *, checked: bool) -> Config:
    values = {group: dict(about) for group, about in config.values.items()}
    origins = dict(config.origins)
    for group, about in document.value.items():
        for name, value in about.items():
            full = f"{group}.{name}"
            if checked:
                value = _fit(config, full, value, document.where(group, name))
            values.setdefault(group, {})[name] = value
            origins[full] = document.where(group, name)
        values.setdefault(group, {})
    return Config(values=values, origins=origins)


def _set(config: Config, text: str) -> Config:
    """One `--set group.name=value`, its value as in YAML."""
    name, equals, written = text.partition("=")
    group, dot, key = name.strip().partition(".")
    place = f"--set {text}"
    if not (equals and dot and group and key):
        raise InputError(f"{place}: it is none of the form group.name=value", hint="write --set train.lr=0.01")
    document = parse_document(written.encode(), Path(place))
    value = document.value if written.strip() else ""
    single = Document(path=Path(place), value={group: {key: value}})
    refuse_secrets(single)
    fitted = _fit(config, f"{group}.{key}", value, place)
    check_document(
        Document(path=Path(place), value={group: {key: fitted}}), read_own_schema(CONFIG), hint="a value, or a list"
    )
    return Config(
        values={**config.values, group: {**config.values[group], key: fitted}},
        origins={**config.origins, f"{group}.{key}": place},
    )


def _fit(config: Config, name: str, value: Any, where: str) -> Any:
    """A value that takes the place of the default's; raise InputError for a name it lacks, or another type."""
    group, _, key = name.partition(".")
    if group not in config.values:
        known = describe_choices(group, config.values)
        meant = ask_whether_meant(group, list(config.values))
        raise InputError(f"{where}: there is no group {group!r}{meant} (groups: {known})", hint=f"see {DEFAULT_FILE}")
    if key not in config.values[group]:
        names = list(config.values[group])
        raise InputError(
            f"{where}: {group} has no {key!r}{ask_whether_meant(key, names)} (it has: {describe_choices(key, names)})",
            hint=f"see {DEFAULT_FILE}",
        )
    default = config.values[group][key]
    if isinstance(default, list) and not isinstance(value, list) and value is not None:
        value = [value]
    wanted = _kind(default)
    if default is not None and not _is_like(default, value):
        raise InputError(
            f"{where}: {name} is {value!r}, {_kind(value)}; its default is {wanted}: {json.dumps(default)}",
            hint=f"write {wanted}",
        )
    return float(value) if isinstance(default, float) and isinstance(value, int) else value


def _is_like(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, list) and isinstance(value, list):
        return not default or all(_is_like(default[0], item) for item in value)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, int):
        return isinstance(value, int)
    return isinstance(value, type(default))


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return kinds.get(type(value), "nothing")


def refuse_secrets(document: Document) -> None:
    """Raise InputError for what looks like a key or a password; its value is not shown."""
    for group, about in document.value.items():
        for name, value in about.items():
            items = value if isinstance(value, list) else [value]
            named = bool(_SECRET_NAME.search(name)) and any(isinstance(item, str) and item for item in items)
            looks = any(isinstance(item, str) and _SECRET_VALUE.search(item) for item in items)
            if named or looks:
                where = (
                    document.path.as_posix().partition("=")[0] if not document.lines else document.where(group, name)
                )
                raise InputError(f"{where}: {group}.{name} holds a secret", hint=_KEYS_HINT)


def _check_own_schema(config: Config, path: Path) -> None:
    """What values may be, by the project's own schema; errors name where each value comes from."""
    if not path.is_file():
        return
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON: {error}", hint="it is a JSON Schema") from None
    if not isinstance(schema, dict):
        raise InputError(f"{path}: no JSON Schema", hint="it is a JSON object")
    check_document(_Origins(path=path, value=_plain(config.values), config=config), schema, hint=f"see {path}")


@dataclass(frozen=True, kw_only=True)
class _Origins(Document):
    """The whole configuration, each value of which has a place of its own."""

    config: Config

    def where(self, *place: str | int) -> str:
        return self.config.where(".".join(map(str, place[:2]))) if len(place) > 1 else str(self.path)


def _plain(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {group: dict(about) for group, about in values.items()}


def check_sums(flow: Flow, config: Config) -> None:
    """Raise InputError where numbers do not add up to what flow.yaml says."""
    for index, rule in enumerate(flow.sums):
        where = flow.document.where("sums", index)
        for name in rule["of"]:
            check_parameter(name, where, config)
            if not isinstance(config.get(name), int | float):
                raise InputError(
                    f"{config.where(name)}: {name} is {config.get(name)!r}, no number", hint=f"see {where}"
                )
        total = math.fsum(config.get(name) for name in rule["of"])
        if not math.isclose(total, rule["is"], abs_tol=1e-9):
            parts = " + ".join(f"{name} {config.get(name)}" for name in rule["of"])
            raise InputError(
                f"{config.where(rule['of'][0])}: {parts} is {round(total, 9):g}, not {rule['is']:g} (as {where} says)",
                hint="correct one of them",
            )


def check_parameter(name: str, where: str, config: Config) -> None:
    """Raise InputError where the configuration has no such group or parameter."""
    group, dot, key = name.partition(".")
    known = [f"{each}.{other}" for each, about in config.values.items() for other in about] if dot else [*config.values]
    if group not in config.values or (dot and key not in config.values[group]):
        what = "parameter" if dot else "group of parameters"
        raise InputError(
            f"{where}: there is no {what} {name!r}{ask_whether_meant(name, known)}",
            hint=f"{DEFAULT_FILE} has: {describe_choices(name, known)}",
        )


def _check_reads(step: Step, document: Document, config: Config) -> None:
    for index, name in enumerate(step.params):
        check_parameter(name, document.where("steps", step.name, "params", index), config)
