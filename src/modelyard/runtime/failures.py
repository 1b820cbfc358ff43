"""What a worker says of an exception: to the client the least that is true, to the log everything."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from modelyard.runtime.primitives import stat

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
    hint = find_beside(error)
    try:
        text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()[-_MAX_LOG:]
        return f"{text}\n  hint: {hint}" if hint else text
    except Exception:  # of what the model has put in the place of what this needs
        return f"{type(error).__name__}: {say(error)}"


def find_beside(error: BaseException) -> str:
    """Say how to open a file that was not found but lies beside the code that wanted it; empty where there is none."""
    name = error.filename if isinstance(error, FileNotFoundError) else None
    trace = error.__traceback__
    while isinstance(name, str) and not name.startswith("/") and trace is not None:
        source = Path(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
        try:
            stat(source.parent / name)
        except OSError:
            continue
        return (
            f"{name} lies beside {source.name}, and names count from the application root: "
            f"open(Path(__file__).parent / {name!r})"
        )
    return ""


def _client_status(error: BaseException) -> int | None:
    for name in ("status", "status_code"):
        status = getattr(error, name, None)
        if isinstance(status, int) and 400 <= status < 500:
            return status
    return 422 if isinstance(error, ValueError) else None
