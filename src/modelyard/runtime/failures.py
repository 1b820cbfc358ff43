"""What a worker says of an exception: to the client the least that is true, to the log everything."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

_OWN = (str(Path(__file__).parent), importlib.__file__, "<frozen importlib")
_MAX_LOG = 1 << 16
_MAX_MESSAGE = 1 << 13


def describe_error(error: BaseException) -> dict[str, Any]:
    """The header that answers for an exception: the client's mistake with its message, or 500 and a trace to log."""
    status = _client_status(error)
    if status is not None:
        return {"status": status, "detail": say(error) or type(error).__name__}
    return {"status": 500, "log": format_trace(error)}


def say(error: BaseException) -> str:
    """The message of an exception, which may hold all that a client has sent; empty where its own code fails."""
    try:
        text = str(error)
    except Exception:
        return ""
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}… ({len(text)} characters)"


def format_trace(error: BaseException) -> str:
    """The end of the traceback from the user's own code on, without frames of this package and of the import system."""
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace)).rstrip()[-_MAX_LOG:]
    except Exception:  # of what the model has put in the place of what this needs
        return f"{type(error).__name__}: {say(error)}"


def _client_status(error: BaseException) -> int | None:
    for name in ("status", "status_code"):
        status = getattr(error, name, None)
        if isinstance(status, int) and 400 <= status < 500:
            return status
    return 422 if isinstance(error, ValueError) else None
