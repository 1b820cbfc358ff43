"""The daemon's log: lines for people, or one JSON object a line, on stdout."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any


def make_handler(style: str | None = None) -> logging.Handler:
    """A handler that writes to stdout in `style`, `text` or `json`; MODELYARD_LOG decides where none is given."""
    chosen = style or os.environ.get("MODELYARD_LOG") or "text"
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JSONFormatter() if chosen == "json" else TextFormatter())
    return handler


def configure_logging(style: str) -> None:
    """Send every record from INFO on to stdout."""
    logging.basicConfig(level=logging.INFO, handlers=[make_handler(style)], force=True)


def fields(**values: Any) -> dict[str, Any]:
    """The `extra` of a logging call: fields of the record besides its message."""
    return {"fields": values}


def escape(text: str) -> str:
    """Text that stands on one line, whoever wrote it, and moves no terminal's cursor.

    >>> escape("café\\n12:00:00 forged")
    'café\\\\n12:00:00 forged'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class JSONFormatter(logging.Formatter):
    """One JSON object: time, level, logger, message, the record's fields, and the trace of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class TextFormatter(logging.Formatter):
    """Time, level and message; fields as `name=value`, a trace on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        values: dict[str, Any] = dict(getattr(record, "fields", {}))
        trace = values.pop("trace", None)
        parts = [super().format(record), *(f"{name}={escape(str(value))}" for name, value in values.items())]
        return "  ".join(parts) + (f"\n{trace}" if trace else "")
