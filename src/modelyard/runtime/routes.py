"""ROUTES: `route:module:function[,route:module:function...]`. One grammar, one parser, one formatter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from keyword import iskeyword

from modelyard.runtime.errors import InputError

# First path segments that the daemon answers itself, now or by a protocol it speaks.
RESERVED = frozenset(
    {"livez", "readyz", "health", "routes", "metrics", "openapi.json", "docs", "static", "admin"}
    | {"v1", "v2", "seldon", "api", "ping", "invocations"}
)
_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")


@dataclass(frozen=True, order=True)  # training under Python 3.9 needs this module, and has no kw_only
class Route:
    """POST /<name> calls `function` of `module`."""

    name: str
    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.name}:{self.module}:{self.function}"


def parse_routes(text: str, *, place: str = "ROUTES") -> tuple[Route, ...]:
    """Parse the value of ROUTES; `place` (a file and line) goes into every error.

    >>> parse_routes("rf:income.predict:predict_rf")
    (Route(name='rf', module='income.predict', function='predict_rf'),)

    Raises InputError naming the place and the item.
    """
    routes: list[Route] = []
    for number, item in enumerate(text.split(","), start=1):
        route = _parse_item(item.strip(), f"{place}: item {number} of ROUTES")
        earlier = next((position for position, other in enumerate(routes, 1) if other.name == route.name), None)
        if earlier is not None:
            raise InputError(
                f"{place}: items {earlier} and {number} of ROUTES both claim the route {route.name!r}",
                hint="give each function a route of its own",
            )
        routes.append(route)
    return tuple(routes)


def format_routes(routes: Iterable[Route]) -> str:
    """Write routes so that `parse_routes` reads the same back."""
    return ",".join(map(str, routes))


def is_module_path(text: str) -> bool:
    """Tell whether `text` is a dotted path of Python identifiers."""
    return all(part.isidentifier() and not iskeyword(part) for part in text.split("."))


def check_module_path(text: str, *, place: str) -> str:
    """Return `text` when it is a dotted module path; raise InputError that says what it looks like instead."""
    if is_module_path(text):
        return text
    if "/" in text or text.endswith(".py") or ".." in text:
        hint = "write the dotted path Python imports, for example income.predict, no file path"
    else:
        hint = "every part must be a Python identifier and no keyword"
    raise InputError(f"{place}: {text!r} is no module path", hint=hint)


def check_function_name(text: str, *, place: str) -> str:
    """Return `text` when it can be a function's name in Python."""
    if not text.isidentifier() or iskeyword(text):
        raise InputError(f"{place}: {text!r} is no function name", hint="name a function that the module defines")
    return text


def _parse_item(item: str, place: str) -> Route:
    parts = [part.strip() for part in item.split(":")]
    if len(parts) != 3 or not all(parts):
        what = "is empty" if not item else f"{item!r} is not route:module:function"
        raise InputError(
            f"{place} {what}", hint="write route:module:function, items separated by ',', no quotes inside"
        )
    name, module, function = parts
    return Route(
        name=_check_route_name(name, place),
        module=check_module_path(module, place=place),
        function=check_function_name(function, place=place),
    )


def _check_route_name(name: str, place: str) -> str:
    segments = name.split("/")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        hint = (
            f"leave the slash out: {name.strip('/')}"
            if name.startswith("/")
            else "a route is made of letters, digits and '-_.~', parts separated by '/', none starting with '.'"
        )
        raise InputError(f"{place}: {name!r} is no route", hint=hint)
    if segments[0] in RESERVED:
        raise InputError(f"{place}: /{name} is a path that the daemon answers itself", hint="choose another route")
    return name
