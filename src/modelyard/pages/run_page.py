"""The page of a project's runs: as files that a server hands out, and as one file that needs none."""

import json
import mimetypes
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from modelyard.pages.server import Reply

ASSETS = {
    "/style.css": "text/css",
    "/runs.css": "text/css",
    "/runs.js": "text/javascript",
    "/echarts.js": "text/javascript",
}
_PICTURES = ("image/png", "image/jpeg")
_ALONE = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
Read = Callable[[str], Mapping[str, Any]]


class RunPage:
    """Answers what the page asks for: itself, the list of runs, a run, and the files of a run."""

    def __init__(self, root: Path, *, ids: Callable[[], list[str]], view: Read, summary: Read) -> None:
        self.root, self._ids, self._view, self._summary = root.resolve(), ids, view, summary

    def answer(self, path: str) -> Reply | None:
        """Return what is at a path; None where nothing is."""
        if path == "/":
            return Reply(content=read_asset("runs.html").encode(), media_type="text/html; charset=utf-8")
        if path in ASSETS:
            content = read_asset(path.removeprefix("/")).encode()
            return Reply(content=content, media_type=f"{ASSETS[path]}; charset=utf-8")
        match path.split("/")[1:]:
            case ["api", "runs"]:
                return _as_json([self._summary(id) for id in reversed(self._ids())])
            case ["api", "runs", id] if id in self._ids():
                return _as_json(self._view(id))
            case ["runs", id, *rest] if _NAME.fullmatch(id) and rest:
                return self._find_file(self.root.joinpath(id, *rest))
        return None

    def _find_file(self, place: Path) -> Reply | None:
        """A file of a run; its links lead to artifacts, and nothing leads out of runs/."""
        path = place.resolve()
        if ".." in place.parts or not path.is_relative_to(self.root) or not path.is_file():
            return None
        media_type = mimetypes.guess_type(place.name)[0] or ""
        if media_type in _PICTURES:
            return Reply(content=path, media_type=media_type)
        if place.suffix == ".log" or place.name == "log":
            return Reply(content=path, media_type="text/plain; charset=utf-8")
        name = re.sub(r"[^A-Za-z0-9._-]", "_", place.name)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Reply(content=path, media_type="application/octet-stream", headers=headers)


def render_report(view: Mapping[str, Any]) -> str:
    """Return the page of one run as a single file, which asks nobody for anything."""
    page = read_asset("runs.html")
    styles = "".join(f"<style>\n{read_asset(name)}</style>\n" for name in ("style.css", "runs.css"))
    data = json.dumps(view, separators=(",", ":")).replace("<", "\\u003c")
    scripts = f'<script type="application/json" id="data">{data}</script>\n'
    scripts += "".join(f"<script>\n{read_asset(name)}\n</script>\n" for name in ("echarts.js", "runs.js"))
    page = re.sub(r"<link[^>]*>\n", "", page)
    page = re.sub(r"<script src[^>]*></script>\n", "", page)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{_ALONE}">\n'
    page = page.replace('<meta charset="utf-8">\n', f'<meta charset="utf-8">\n{meta}')
    return page.replace("</head>", f"{styles}</head>").replace("</body>", f"{scripts}</body>")


@cache
def read_asset(name: str) -> str:
    """Return a file of the page; the style is the one that the daemon's page has."""
    if name == "style.css":
        return files("modelyard.runtime.gateway").joinpath("templates", name).read_text(encoding="utf-8")
    return files("modelyard.pages").joinpath("assets", name).read_text(encoding="utf-8")


def _as_json(value: Any) -> Reply:
    return Reply(content=json.dumps(value).encode(), media_type="application/json")
