"""Finds a picture in a model's test instances, so that the page can offer to draw or drop another one."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

_MAGIC = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg"}
_SMALLEST, _LARGEST = 8, 512


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Where the first picture is, and how it is written: a file in base64, or rows of grey values up to `most`."""

    path: tuple[str | int, ...]
    kind: Literal["file", "rows"]
    media_type: str = "image/png"
    height: int = 0
    width: int = 0
    most: float = 255

    def describe(self) -> dict[str, Any]:
        """The fields, for the page."""
        return asdict(self)


def find_picture(value: Any) -> Picture | None:
    """The first picture in a JSON value; None where it has none.

    A table of numbers alone is no picture: rows count only as an item of a list, as `instances` has them.

    >>> find_picture({"instances": [{"b64": "iVBORw0KGgo" + "A" * 60}]}).path
    ('instances', 0, 'b64')
    """
    return next(_find(value, ()), None)


def _find(value: Any, path: tuple[str | int, ...]) -> Iterator[Picture]:
    if isinstance(value, str):
        start = value[:64].partition("base64,")[2] or value
        for magic, media_type in _MAGIC.items():
            if start.startswith(magic) and len(value) > 40:
                yield Picture(path=path, kind="file", media_type=media_type)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _find(item, (*path, key))
    elif isinstance(value, list) and value:
        if path and isinstance(path[-1], int) and _is_grey(value):
            most = 1 if all(number <= 1 for row in value for number in row) else 255
            yield Picture(path=path, kind="rows", height=len(value), width=len(value[0]), most=most)
        else:
            yield from _find(value[0], (*path, 0))


def _is_grey(rows: Sequence[Any]) -> bool:
    """Tell whether these are the rows of a square of grey values."""
    size = len(rows)
    return _SMALLEST <= size <= _LARGEST and all(
        isinstance(row, list) and len(row) == size and all(type(item) in (int, float) for item in row) for row in rows
    )
