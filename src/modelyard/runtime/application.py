"""What an application image holds: `.s2i/application.json`, written by staging, joined with ROUTES when served."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from modelyard.runtime.errors import InputError
from modelyard.runtime.nearest import describe_choices
from modelyard.runtime.routes import Route, check_function_name, check_module_path, parse_routes

APPLICATION_FILE = ".s2i/application.json"
SCHEMA = 1
DEFAULT_ENVIRONMENT = "default"


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model: its staged directory, the environment that runs it, the names of its routes, its test instances.

    `path` and `instances` are relative to the application root, with `/`.
    """

    name: str
    path: str = "."
    environment: str = DEFAULT_ENVIRONMENT
    routes: tuple[str, ...] = ()
    instances: str | None = None


@dataclass(frozen=True, kw_only=True)
class Application:
    """The models of one application image."""

    name: str
    kind: Literal["train", "predict"]
    models: tuple[Model, ...]


def format_application(application: Application) -> str:
    """Write `application` so that `parse_application` reads the same back."""
    return json.dumps({"schema": SCHEMA, **asdict(application)}, indent=2) + "\n"


def parse_application(text: str, *, source: Path | str = APPLICATION_FILE) -> Application:
    """Parse the text of an application.json; raise InputError naming the field that is missing or wrong."""
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source}:{error.lineno}: no JSON ({error.msg})", hint="stage the source again: modelyard build"
        ) from None
    read = _Reader(source)
    read.check(fields, dict, "the document")
    if fields.get("schema") != SCHEMA:
        raise InputError(
            f"{source}: schema is {fields.get('schema')!r}, not {SCHEMA}",
            hint="the tool that staged the source and the builder image differ: build both with one modelyard",
        )
    kind = read.get(fields, "kind", str)
    if kind not in ("train", "predict"):
        raise InputError(f"{source}: kind is {kind!r}", hint="write train or predict")
    models = tuple(_parse_model(item, read, f"models[{number}]") for number, item in read.items(fields, "models"))
    return Application(name=read.get(fields, "name", str), kind=kind, models=models)


def load_routes(environ: Mapping[str, str]) -> tuple[Route, ...]:
    """The routes that ROUTES names, else the route `predict` that PREDICT_MODULE and PREDICT_FUNCTION stand for."""
    if environ.get("ROUTES"):
        return parse_routes(environ["ROUTES"], place="environment")
    if not environ.get("PREDICT_MODULE"):
        raise InputError(
            "the environment has neither ROUTES nor PREDICT_MODULE: there is nothing to serve",
            hint="set ROUTES=route:module:function in .s2i/environment",
        )
    module = check_module_path(environ["PREDICT_MODULE"], place="PREDICT_MODULE")
    function = check_function_name(environ.get("PREDICT_FUNCTION") or "predict", place="PREDICT_FUNCTION")
    return (Route(name="predict", module=module, function=function),)


def check_default_route(routes: Iterable[Route], environ: Mapping[str, str]) -> None:
    """Raise InputError where DEFAULT_ROUTE names none of `routes`."""
    default, names = environ.get("DEFAULT_ROUTE"), [route.name for route in routes]
    if default and default not in names:
        raise InputError(
            f"DEFAULT_ROUTE is {default!r}, which is no route", hint=f"there are {describe_choices(default, names)}"
        )


def load_application(root: Path, environ: Mapping[str, str]) -> Application:
    """The application that is staged at `root`, with the models that the routes of `environ` need.

    ROUTES decides what is served: a model none of whose routes it names is left out, and routes that no model claims
    (all of them, where a foreign tool built the source and there is no application.json) make one model a module.
    """
    routes = load_routes(environ)
    check_default_route(routes, environ)
    path = root / APPLICATION_FILE
    if path.is_file():
        application = parse_application(path.read_text(encoding="utf-8"), source=path)
    else:
        application = Application(name=environ.get("MODEL_NAME") or root.name, kind="predict", models=())
    models = (*_claimed(application.models, routes), *_unclaimed(application.models, routes))
    return Application(name=application.name, kind=application.kind, models=models)


def _claimed(models: Iterable[Model], routes: Iterable[Route]) -> Iterable[Model]:
    named = {route.name for route in routes}
    for model in models:
        kept = tuple(name for name in model.routes if name in named)
        if kept:
            yield Model(**{**asdict(model), "routes": kept})


def _unclaimed(models: Iterable[Model], routes: Iterable[Route]) -> Iterable[Model]:
    claimed = {name for model in models for name in model.routes}
    by_module: dict[str, list[str]] = {}
    for route in routes:
        if route.name not in claimed:
            by_module.setdefault(route.module, []).append(route.name)
    for module, names in by_module.items():
        yield Model(name=module, path="/".join(module.split(".")[:-1]) or ".", routes=tuple(names))


def _parse_model(item: Any, read: "_Reader", place: str) -> Model:
    read.check(item, dict, place)
    routes = tuple(read.check(name, str, f"{place}.routes[{n}]") for n, name in read.items(item, "routes", place))
    instances = item.get("instances")
    return Model(
        name=read.get(item, "name", str, place),
        path=read.relative(read.get(item, "path", str, place), f"{place}.path"),
        environment=read.get(item, "environment", str, place),
        routes=routes,
        instances=None if instances is None else read.relative(instances, f"{place}.instances"),
    )


class _Reader:
    """Takes fields out of decoded JSON; every mistake names the file and the field."""

    def __init__(self, source: Path | str) -> None:
        self.source = source

    def check(self, value: Any, kind: type, place: str) -> Any:
        if not isinstance(value, kind):
            raise InputError(
                f"{self.source}: {place} is {value!r}, not a {kind.__name__}", hint="stage the source again"
            )
        return value

    def get(self, fields: Mapping[str, Any], key: str, kind: type, place: str = "") -> Any:
        return self.check(fields.get(key), kind, f"{place}.{key}".lstrip("."))

    def items(self, fields: Mapping[str, Any], key: str, place: str = "") -> Iterable[tuple[int, Any]]:
        return enumerate(self.get(fields, key, list, place))

    def relative(self, value: Any, place: str) -> str:
        text: str = self.check(value, str, place)
        if text.startswith("/") or ".." in text.split("/"):
            raise InputError(f"{self.source}: {place} is {text!r}, outside the application", hint="use a relative path")
        return text
