"""The messages of Seldon's v1 wrapper: what they hold for a model, and how a model's answer is put into one.

A message is a JSON object with one of `data` (a `tensor` or an `ndarray`), `jsonData`, `strData` and `binData`, and
with `meta`. A class gets arrays and answers with them, so its half needs the numpy of its own environment; a
function's half needs none. Written from what a Seldon server is seen to answer, texts of errors included.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.runtime.primitives import Encoder, load_json
from modelyard.runtime.values import to_json_bytes

KINDS = ("data", "jsonData", "strData", "binData")
BAD_DATA = "MICROSERVICE_BAD_DATA"
INTERNAL_ERROR = "MICROSERVICE_INTERNAL_ERROR"


class MessageError(Exception):
    """The client's mistake, in Seldon's words."""

    def __init__(self, info: str, status: int = 400, *, reason: str = BAD_DATA) -> None:
        super().__init__(info)
        self.status_code = status
        self.reason = reason


class DecodeError(Exception):
    """What a message holds cannot be decoded: 422, but to Seldon's clients 500, as they know it."""

    status = 422


def parse_message(body: bytes, source: str = "body") -> Any:
    """Decode a message; NaN and Infinity are taken. Raises MessageError for what is no JSON.

    In a `field` it is an error of the server, told in the words of the parser: clients go by them.
    """
    try:
        message = load_json(body)
    except RecursionError as error:
        raise MessageError(str(error), 500, reason=INTERNAL_ERROR) from None
    except ValueError as error:
        if source == "field":
            raise MessageError(str(error), 500, reason=INTERNAL_ERROR) from None
        message = None
    if message is None and source == "body":
        raise MessageError("Can't find JSON in data")
    return message


def take_upload(message: Any) -> Any:
    """The message of a form, as a class expects it: the base64 of the file `binData` is bytes there, no text."""
    data = message.get("binData")
    return {**message, "binData": data.encode()} if isinstance(data, str) else message


def format_message(message: Any) -> bytes:
    """Write a message the way a Seldon server does: keys sorted, no spaces, ASCII, a newline at the end."""
    return _ENCODER.encode(message).encode() + b"\n"


def _to_plain(value: Any) -> Any:
    """A value that is no JSON, by the rules of every answer; but bytes have a place of their own in a message."""
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return load_json(to_json_bytes(value))


_ENCODER = Encoder(sort_keys=True, separators=(",", ":"), default=_to_plain)


def format_error(info: str, reason: str) -> bytes:
    """Write the message that stands for an error."""
    return format_message({"status": {"status": 1, "info": info, "code": -1, "reason": reason}})


def find_kind(message: Any) -> str:
    """Tell which of the four a message holds; raise MessageError where it holds none."""
    for kind in KINDS:
        if isinstance(message, dict) and kind in message:
            return kind
    raise MessageError(f"Invalid request data type: {message}")


def names_of(message: Mapping[str, Any]) -> list[str]:
    """The names of the columns that a message gives."""
    data = message.get("data")
    names = data.get("names") if isinstance(data, dict) else None
    return names if isinstance(names, list) else []


def columns_of(message: Mapping[str, Any]) -> Any:
    """The same as a class gets it: whatever the message calls names."""
    data = message.get("data")
    return data["names"] if data and "names" in data else []


def meta_of(message: Any) -> Mapping[str, Any]:
    """The meta data that came with a message."""
    meta = message.get("meta") if isinstance(message, dict) else None
    return meta if isinstance(meta, dict) else {}


def take_features(message: Any) -> Any:
    """What the message holds, as a class expects it: an array, bytes, a string, or any JSON. Raises DecodeError."""
    kind = find_kind(message)
    try:
        if kind == "binData":
            return base64.b64decode(message["binData"])
        return take_array(message["data"]) if kind == "data" else message[kind]
    except (ArithmeticError, LookupError, NameError, TypeError, ValueError) as error:
        raise DecodeError(str(error)) from None


def take_payload(message: Any) -> Any:
    """What the message holds, as a function expects it: see docs/reference/protocols.md."""
    kind = find_kind(message)
    if kind == "jsonData":
        return message[kind]
    if kind != "data":
        return {kind: message[kind]}
    data, names = message["data"], names_of(message)
    if isinstance(data, dict) and "tensor" in data:
        rows = _nest(data["tensor"]["values"], data["tensor"]["shape"])
    else:
        rows = data["ndarray"] if isinstance(data, dict) and "ndarray" in data else []
    return {"instances": rows, "names": names} if names else {"instances": rows}


def put_result(result: Any, request: Any, class_names: Any = None) -> dict[str, Any]:
    """Put what a class has returned into a message, in the form that `request` came in."""
    if isinstance(result, dict):
        return {"jsonData": result}
    if isinstance(result, (bytes, bytearray)):
        return {"binData": base64.b64encode(result).decode()}
    if isinstance(result, str):
        return {"strData": result}
    if not isinstance(result, list) and type(result).__name__ != "ndarray":
        raise MessageError(f"Unknown data type returned as payload (must be list or np array):{result}")
    np = _import_numpy()
    array = np.array(result)
    names: list[Any] = []
    if array.ndim > 1:
        names = _default_names(array.shape) if class_names is None else _to_list(class_names)
    if np.issubdtype(array.dtype, np.number) and _wants_tensor(request):
        return {"data": {"names": names, "tensor": {"shape": list(array.shape), "values": array.ravel().tolist()}}}
    return {"data": {"names": names, "ndarray": array.tolist()}}


def put_plain(result: Any, request: Any) -> dict[str, Any]:
    """Put what a function has returned, plain JSON by now, into a message."""
    if isinstance(result, str):
        return {"strData": result}
    if not isinstance(result, list):
        return {"jsonData": result}
    values, shape = _flatten(result)
    names = _default_names(shape) if len(shape) > 1 else []
    if _wants_tensor(request) and set(map(type, values)) <= {int, float}:
        return {"data": {"names": names, "tensor": {"shape": list(shape), "values": values}}}
    return {"data": {"names": names, "ndarray": result}}


def put_meta(
    given: Any, request: Any, *, tags: Mapping[str, Any], metrics: Sequence[Any], path: Mapping[str, str]
) -> Any:
    """The meta data of an answer: what is `given`, with ours added, and the `puid` of the request's.

    Our tags win; in the path that the request went, what is given does.
    """
    given = given or {}

    def take(key: str, kind: type[Any]) -> Any:
        value = given.get(key)
        return value if isinstance(value, kind) else kind()

    meta = {
        "puid": request.get("puid"),
        "tags": {**take("tags", dict), **tags},
        "metrics": [*take("metrics", list), *metrics],
        "requestPath": {**path, **take("requestPath", dict)},
    }
    return {key: value for key, value in meta.items() if value}


def merge_metas(metas: Sequence[Any]) -> dict[str, Any]:
    """The meta data of several messages as that of one: the later wins, metrics add up."""
    merged: dict[str, Any] = {"tags": {}, "metrics": [], "requestPath": {}}
    for meta in filter(None, metas):
        merged["tags"].update(meta.get("tags", {}))
        merged["metrics"].extend(meta.get("metrics", []))
        merged["requestPath"].update(meta.get("requestPath", {}))
    return merged


def _import_numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise ImportError(f"a Seldon style class gets arrays: add numpy to its requirements ({error})") from None
    return numpy


def take_array(data: Any) -> Any:
    np = _import_numpy()
    if "tensor" in data:
        return np.array(data["tensor"]["values"]).reshape(data["tensor"]["shape"])
    if "ndarray" in data:
        return np.array(data["ndarray"])
    if "tftensor" in data:
        raise NameError("name 'TensorProto' is not defined")  # what a server without tensorflow says
    return np.array([])


def _wants_tensor(request: Any) -> bool:
    data = request.get("data") if isinstance(request, dict) else None
    return data is None or "tensor" in data


def _default_names(shape: Sequence[int]) -> list[str]:
    return [f"t:{number}" for number in range(shape[1])]


def _to_list(names: Any) -> list[Any]:
    return names.tolist() if hasattr(names, "tolist") else list(names)


def _flatten(value: list[Any]) -> tuple[list[Any], tuple[int, ...]]:
    """The values of a nested list row by row, and its shape as far as it is regular."""
    shape = [len(value)]
    while value and all(isinstance(item, list) for item in value) and len({len(item) for item in value}) == 1:
        shape.append(len(value[0]))
        value = [item for row in value for item in row]
    return value, tuple(shape)


def _nest(values: list[Any], shape: Sequence[int]) -> list[Any]:
    for size in reversed(shape[1:]):
        values = [values[start : start + size] for start in range(0, len(values), size)]
    return values
