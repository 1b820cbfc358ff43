"""What the train builder's `run` script does: call the train function with PAYLOAD, hand over its result as JSON.

The result goes into the file that MODELYARD_RESULT names, where it is set, and is printed otherwise: whatever the
function prints, redirects, closes or leaves running, a result that was returned arrives.

It runs under the Python of the model's own environment: the standard library only, of any Python from 3.9 on.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelyard.runtime.beside import prefer_modules_beside
from modelyard.runtime.calling import take_message
from modelyard.runtime.cores import library_variables
from modelyard.runtime.errors import InputError, ModelyardError
from modelyard.runtime.failures import format_trace
from modelyard.runtime.message import Message
from modelyard.runtime.primitives import close, end_process, getpid, open_file, write_all, write_log
from modelyard.runtime.routes import check_function_name, check_module_path
from modelyard.runtime.values import NotJSONError, to_json_bytes

FAILED = 1


def train(environ: Mapping[str, str]) -> int:
    """Train as TRAIN_MODULE, TRAIN_FUNCTION and PAYLOAD say; return the exit code (0: there is a result)."""
    payload = read_payload(environ.get("PAYLOAD"))
    if "TRAIN_MODULE" not in environ:
        raise InputError("TRAIN_MODULE is not set", hint="add TRAIN_MODULE=package.module to .s2i/environment")
    module = check_module_path(environ["TRAIN_MODULE"], place="TRAIN_MODULE")
    function = check_function_name(environ.get("TRAIN_FUNCTION") or "train", place="TRAIN_FUNCTION")
    hand_over = open_result(environ.get("MODELYARD_RESULT"))
    process = getpid()
    root = Path(environ.get("APP_ROOT", "/model"))
    prefer_modules_beside(root.joinpath(*module.split(".")[:-1]), root)
    try:
        result = find_function(module, function)(Message(payload))
    except SystemExit as error:
        return explain_exit(error, f"{module}.{function}")
    except Exception as error:
        print_user_traceback(error, environ.get("APP_ROOT", "/model"))
        return FAILED
    if getpid() != process:  # a process that the function has forked must not answer as well
        end_process(0)
    try:
        content = to_json_bytes(result)
    except NotJSONError as error:
        raise InputError(
            f"the result of {module}.{function}: {error}", hint="return dicts, lists and numbers"
        ) from None
    flush_prints()
    hand_over(content + b"\n")
    return 0


def open_result(path: str | None) -> Callable[[bytes], None]:
    """Find a way for the result before anything is trained: the file at `path`, or standard output as it is now.

    The file is empty until there is a result: so who reads it knows that it was to come by it. Raises InputError where
    it can't be written.
    """
    if path is None:
        output = os.dup(1)
        return lambda content: write_all(output, content)
    place = os.path.realpath(path)  # whatever becomes of the folder and the links in it

    def write(content: bytes) -> None:
        try:
            file = open_file(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                write_all(file, content)
            finally:
                close(file)
        except OSError as error:
            raise InputError(
                f"the result can't be written to {place} ({error.strerror})",
                hint="is its folder there, and is there room?",
            ) from None

    write(b"")
    return write


def flush_prints() -> None:
    """Have what was printed come out; a stream that can't be flushed would fail once more when the process ends."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except Exception:
            setattr(sys, name, None)


def read_payload(text: str | None) -> dict[str, Any]:
    """Parse PAYLOAD; raise InputError for what is no JSON object."""
    try:
        payload = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"PAYLOAD is no JSON ({error}): {text!r}", hint='write PAYLOAD=\'{"key": "value"}\'') from None
    if not isinstance(payload, dict):
        raise InputError(f"PAYLOAD is no JSON object: {text!r}", hint='write PAYLOAD=\'{"key": "value"}\'')
    return payload


def find_function(module: str, function: str) -> Callable[[Any], Any]:
    """Import the train module and return its function; raise InputError where it has none of that name."""
    imported = importlib.import_module(module)
    found = getattr(imported, function, None)
    if not callable(found):
        what = "has no" if found is None else "has no callable"
        raise InputError(f"{imported.__file__} {what} {function!r}", hint="correct TRAIN_FUNCTION in .s2i/environment")
    try:
        return take_message(found, name=f"{module}.{function}")
    except TypeError as error:
        raise InputError(f"{imported.__file__}: {error}", hint="what it needs is in msg.payload") from None


def explain_exit(error: SystemExit, name: str) -> int:
    """Turn a `sys.exit` of the train function into an exit code that never says success, for there is no result."""
    code = error.code if isinstance(error.code, int) and 0 < error.code < 256 else FAILED
    said = f"sys.exit({error.code!r})" if error.code is not None else "sys.exit()"
    flush_prints()
    write_log(f"error: {name} called {said} and returned no result (exit code {code})")
    return code


def print_user_traceback(error: Exception, root: str) -> None:
    """Print a traceback that starts where the user's own code does, with its files below `root` named from there."""
    flush_prints()
    trace = format_trace(error).replace(f'File "{root}{os.sep}', 'File "')
    write_log(trace)


def main() -> int:
    """Train as the environment says; print what is wrong, without a traceback of the tool's own."""
    untold = library_variables(os.environ, workers=1)
    if untold:  # the C library reads its own when a process starts
        command = [sys.executable, "-m", "modelyard.runtime.training"]
        os.execve(sys.executable, command, {**os.environ, **untold})
    os.environ.pop("PYTHONSAFEPATH", None)
    root = os.environ.get("APP_ROOT", "/model")
    sys.path.insert(0, root)
    try:
        return train(os.environ)
    except ModelyardError as error:
        flush_prints()
        write_log(f"error: {error}")
        return FAILED
