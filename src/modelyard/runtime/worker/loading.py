"""A model's code is imported: the functions of its routes, the files that it reads for that, and what went wrong."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.runtime.calling import take_message
from modelyard.runtime.daemon.stamps import take_stamp
from modelyard.runtime.failures import find_beside, say
from modelyard.runtime.message import Message
from modelyard.runtime.primitives import abspath, fsdecode

Function = Callable[[Message], Any]
_FILE_EVENTS = {"open": 0, "os.rename": 1}
"""Audit events of files that are read or written, each with which argument is the path."""


@contextmanager
def following_files(folder: Path) -> Iterator[dict[str, Any]]:
    """Note the files below `folder` that Python reads while inside, as they are: what a model is loaded from.

    Those that it writes as well (a cache, a lock) are left out at the end: loading again would change them again.
    """
    prefixes = (f"{folder.absolute()}{os.sep}", f"{folder.resolve()}{os.sep}")
    files: dict[str, Any] = {}
    written = set()
    is_on = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event in _FILE_EVENTS and isinstance(target := arguments[_FILE_EVENTS[event]], (str, bytes)):
            path = abspath(fsdecode(target))
            if not path.startswith(prefixes):
                return
            if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
                files.setdefault(path, take_stamp(path))
            else:
                written.add(path)

    sys.addaudithook(note)
    try:
        yield files
    finally:
        is_on = False
        for path in written:
            files.pop(path, None)


def load_functions(routes: list[tuple[str, str, str]]) -> dict[str, Function]:
    """Import each route's module and take its function; whatever the user's code raises comes through."""
    functions = {}
    for route, module, name in routes:
        function = getattr(importlib.import_module(module), name)
        is_component = isinstance(function, type) or (hasattr(function, "predict") and not callable(function))
        if is_component:
            from modelyard.runtime.worker.seldon_component import make_component

            function = make_component(function)
        if not callable(function):
            raise TypeError(f"{module}.{name} is a {type(function).__name__}, not a function")
        functions[route] = function if is_component else take_message(function, name=f"{module}.{name}")
    return functions


def describe_failure(error: BaseException, root: Path) -> str:
    """One line: the exception, and the last line of the application's own code, in `root`, that it came through."""
    text = f"{type(error).__name__}: {say(error)}".rstrip(": ").replace("\n", " ")
    prefix = f"{root}{os.sep}"
    own = ""
    trace = error.__traceback__
    while trace is not None:
        if (file := trace.tb_frame.f_code.co_filename).startswith(prefix):
            own = f" ({file[len(prefix) :]}:{trace.tb_lineno})"
        trace = trace.tb_next
    hint = find_beside(error)
    return text + own + (f"; {hint}" if hint else "")
