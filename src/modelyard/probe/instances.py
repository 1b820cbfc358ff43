"""`test/test_instances.json`: the requests that a model directory tests itself with."""

import json
from typing import Any

from modelyard.errors import InputError, at
from modelyard.workspace import INSTANCES_FILE, ModelDirectory


def read_instances(model: ModelDirectory) -> Any:
    """Read a model directory's test instances; raise InputError naming line and column where they are no JSON."""
    path = model.path / INSTANCES_FILE
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file", hint='write a request that predict can answer, such as {"instances": [[1, 2]]}'
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", hint="save the file as UTF-8") from None
    if not text.strip():
        raise InputError(f"{path}: empty", hint='write a request, such as {"instances": [[1, 2]]}')
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"{at(path, error.lineno)}:{error.colno}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise InputError(f"{place}: the JSON ends too early", hint="the file was cut off: restore it") from None
        raise InputError(
            f"{place}: no JSON: {error.msg}", hint=f"correct the line, or look at it with python -m json.tool {path}"
        ) from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply", hint="write a request that predict can answer") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}", hint="write null where a value is missing") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"holds {text}, which JSON has not")
