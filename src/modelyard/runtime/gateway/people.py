"""What the daemon shows people: a page to try each route on, and the description of its interface."""

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, make_response, render_template
from markupsafe import Markup

from modelyard.runtime.gateway.fleet import Fleet
from modelyard.runtime.gateway.guard import Guard
from modelyard.runtime.gateway.openapi import describe_api
from modelyard.runtime.gateway.pictures import find_picture

_INNERMOST = re.compile(r"\[\n\s+([^\[\]{}]*?)\n\s*\]")
_PARTS = re.compile(r"(?<=[/_.-])")
_BREAK = re.compile(r",\n\s+")


def serve_people(app: Flask, fleet: Fleet, guard: Guard, protocols: Mapping[str, Any]) -> None:
    """Add `/`, `/docs` and `/openapi.json`, with the described paths of the `protocols`."""

    app.add_template_filter(format_json, "pretty_json")
    app.add_template_filter(make_breakable, "breakable")

    @app.get("/")
    def page() -> Response:
        return _render("page.html", name=fleet.application.name, routes=[_describe(route) for route in fleet.routes])

    @app.get("/docs")
    def docs() -> Response:
        return _render("docs.html", name=fleet.application.name, api=describe_api(fleet, guard, protocols))

    @app.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(describe_api(fleet, guard, protocols))

    def _describe(route: str) -> dict[str, Any]:
        picture = find_picture(fleet.example(route))
        return {
            "route": route,
            "model": fleet.routes[route].name,
            "example": fleet.example_text(route),
            "picture": picture.describe() if picture else None,
        }


def format_json(value: Any) -> str:
    """JSON for people: indented, but with each innermost list on one line, as the page's script does it.

    >>> print(format_json({"instances": [[1, 2], [3, 4]]}))
    {
      "instances": [
        [1, 2],
        [3, 4]
      ]
    }
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _INNERMOST.sub(lambda found: f"[{_BREAK.sub(', ', found[1])}]", text)


def make_breakable(name: str) -> Markup:
    """A name that a line may end in between its parts, as a page has it.

    >>> print(make_breakable("shop/iris_<b>"))
    shop/<wbr>iris_<wbr>&lt;b&gt;
    """
    return Markup("<wbr>").join(_PARTS.split(name))


def _read_asset(name: str) -> Markup:
    """A style sheet or script, to stand in a page: what it holds is ours, and no template."""
    return Markup((Path(__file__).parent / "templates" / name).read_text(encoding="utf-8"))


def _render(template: str, **values: Any) -> Response:
    """Render a page that loads nothing from elsewhere and runs no script but its own."""
    nonce = secrets.token_urlsafe(16)
    response = make_response(render_template(template, nonce=nonce, asset=_read_asset, **values))
    response.headers |= {
        "Content-Security-Policy": (
            f"default-src 'none'; connect-src 'self'; img-src data: blob:; script-src 'nonce-{nonce}'; "
            f"style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return response
