"""Tensors of the Open Inference Protocol: named, of one datatype, in JSON or, by Triton's extension, in bytes.

What no tensor can hold (objects, rows of mixed types) travels as JSON text in a BYTES tensor that is marked so by its
parameter content_type.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import base64
import json
import struct
import sys
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any

from modelyard.runtime.gateway.problems import Problem

JSON_TEXT = "application/json"
BINARY_SIZE = "binary_data_size"
_MAX_RANK = 16
_MAX_LISTS = 1 << 22
_LENGTH = struct.Struct("<I")
_CODES = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
_BY_KIND = {"boolean": "BOOL", "integer": "INT64", "number": "FP64"}
DATATYPES = (*_CODES, "BYTES")


def decode_tensor(tensor: Any, place: str, binary: memoryview | None = None) -> Any:
    """The values of an input as nested lists; `binary` are its bytes where they come outside of the JSON.

    Raises Problem 400 naming the place: a field that is missing or wrong, a shape that does not fit the data.
    """
    shape, datatype = _read_field(tensor, "shape", list, place), _read_field(tensor, "datatype", str, place)
    if datatype not in DATATYPES:
        raise Problem(400, f"{place}.datatype is {datatype!r}: there are {', '.join(DATATYPES)}")
    if len(shape) > _MAX_RANK or not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        raise Problem(400, f"{place}.shape is {str(shape)[:80]}: up to {_MAX_RANK} whole numbers from 0 on")
    if binary is None:
        data = _read_field(tensor, "data", object, place)
        values = _check_values(measure(data if isinstance(data, list) else [data])[0], datatype, place)
    else:
        values = decode_bytes(binary, place) if datatype == "BYTES" else unpack(binary, datatype, place)
    if len(values) != prod(shape):
        raise Problem(400, f"{place}: the shape {shape} takes {prod(shape)} values, the data has {len(values)}")
    if parameters_of(tensor, place).get("content_type") == JSON_TEXT:
        values = [_parse_text(value, place) for value in values]
    return nest(values, shape)


def encode_tensor(name: str, value: Any, *, as_bytes: bool) -> tuple[dict[str, Any], bytes]:
    """A value of an answer as an output, and its bytes where they are to go outside of the JSON."""
    values, shape = measure(value if isinstance(value, list) else [value])
    datatype = find_datatype(values)
    tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if datatype == "BYTES" and not all(isinstance(item, str) for item in values):
        values = value if isinstance(value, list) else [value]
        tensor |= {"shape": [len(values)], "parameters": {"content_type": JSON_TEXT}}
        values = [json.dumps(item, separators=(",", ":")) for item in values]
    if not as_bytes:
        return {**tensor, "data": values}, b""
    data = encode_bytes(values) if datatype == "BYTES" else pack(values, datatype)
    return {**tensor, "parameters": {**tensor.get("parameters", {}), BINARY_SIZE: len(data)}}, data


def describe_outputs(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The outputs of a model whose answer to its test instances has this JSON Schema; -1 stands for any size.

    None are known of a schema that names no keys: that of a table by key, or one that says nothing.

    >>> describe_outputs({"type": "array", "items": {"type": "array", "items": {"type": "number"}}})
    [{'name': 'predictions', 'datatype': 'FP64', 'shape': [-1, -1]}]
    """
    if not schema or "additionalProperties" in schema:
        return []
    answers = schema.get("properties", {"predictions": schema})
    return [{"name": name, **_describe_output(answer)} for name, answer in answers.items()]


def find_datatype(values: Sequence[Any]) -> str:
    """The datatype that holds the values of an answer: BOOL, INT64, UINT64, FP64, or BYTES for everything else.

    None stands for NaN among numbers: JSON has no word for it.
    """
    kinds = set(map(type, values))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int} and min(values) >= -(1 << 63) and max(values) < 1 << 64:
        return "INT64" if max(values) < 1 << 63 else ("UINT64" if min(values) >= 0 else "FP64")
    if not kinds <= {int, float, type(None)} or kinds == {type(None)}:
        return "BYTES"
    is_beyond = any(type(value) is int and abs(value) > sys.float_info.max for value in values)
    return "BYTES" if is_beyond else "FP64"


def parameters_of(holder: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The parameters of a request, an input or an output; empty where it has none."""
    parameters = holder.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Problem(400, f"{place}.parameters is no object")
    return parameters


def nest(values: list[Any], shape: Sequence[int]) -> Any:
    """Cut values into nested lists, row by row; where there are none, all that is left is an empty list.

    Raises Problem 400 for a shape that makes much of little: sizes of 1 put each value into lists of its own.

    >>> nest([1, 2, 3, 4], [2, 2])
    [[1, 2], [3, 4]]
    """
    if not shape:
        return values[0]
    if values and (lists := sum(accumulate(shape[:-1], mul))) > _MAX_LISTS:
        raise Problem(400, f"the shape {list(shape)} takes {lists} lists: send fewer rows, or leave out sizes of 1")
    for size in reversed(shape[1:]) if values else ():
        values = [values[start : start + size] for start in range(0, len(values), size)]
    return values


def decode_bytes(data: memoryview, place: str) -> list[Any]:
    """The elements of a binary BYTES tensor: text, or {"b64": "..."} for what is no UTF-8."""
    values: list[Any] = []
    start = 0
    while start < len(data):
        if start + _LENGTH.size > len(data):
            raise Problem(400, f"{place}: the bytes end within the length of an element")
        end = start + _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
        if end > len(data):
            raise Problem(400, f"{place}: the bytes end within an element")
        values.append(_decode_text(bytes(data[start + _LENGTH.size : end])))
        start = end
    return values


def encode_bytes(values: Sequence[str]) -> bytes:
    """The elements of a BYTES tensor, each behind its length."""
    encoded = [value.encode(errors="surrogatepass") for value in values]
    return b"".join(part for value in encoded for part in (_LENGTH.pack(len(value)), value))


def unpack(data: bytes | memoryview, datatype: str, place: str, *, order: str = "<") -> list[Any]:
    """The numbers in bytes of an order, `<` or `>`; NaN and infinity are None. Raises Problem 400 for half a number."""
    code = _CODES[datatype]
    size = struct.calcsize(f"{order}{code}")
    if len(data) % size:
        raise Problem(400, f"{place}: {len(data)} bytes are no whole number of {datatype} values")
    values = struct.unpack(f"{order}{len(data) // size}{code}", data)
    if code in "efd":
        return [value if value - value == 0 else None for value in values]
    return list(values)


def pack(values: Sequence[Any], datatype: str) -> bytes:
    """The bytes of numbers, of which None is NaN."""
    numbers = [float("nan") if value is None else value for value in values]
    return struct.pack(f"<{len(numbers)}{_CODES[datatype]}", *numbers)


def _describe_output(schema: Mapping[str, Any]) -> dict[str, Any]:
    shape = []
    while schema.get("type") == "array":
        shape.append(-1)
        schema = schema["items"]
    kinds = schema.get("type", "object")
    datatype = _BY_KIND.get(kinds if isinstance(kinds, str) else " ".join(sorted(set(kinds) - {"null"})), "BYTES")
    return {"datatype": datatype, "shape": shape or [1]}


def _read_field(tensor: Any, name: str, kind: type[Any], place: str) -> Any:
    if not isinstance(tensor, dict) or name not in tensor:
        raise Problem(400, f"{place}.{name} is missing")
    if not isinstance(tensor[name], kind):
        raise Problem(400, f"{place}.{name} is {json.dumps(tensor[name])[:80]}, no {kind.__name__}")
    return tensor[name]


def _check_values(values: list[Any], datatype: str, place: str) -> list[Any]:
    """The values as their datatype has them: floats are floats, written as whole numbers too."""
    if datatype == "BYTES":
        allowed: set[type] = {str}
    elif datatype.startswith("FP"):
        allowed = {int, float, type(None)}
    else:
        allowed = {bool} if datatype == "BOOL" else {int}
    kinds = set(map(type, values))
    wrong = [] if kinds <= allowed else [value for value in values if type(value) not in allowed]
    if allowed == {int} and not wrong:
        wrong = _find_beyond(values, datatype)
    if wrong:
        raise Problem(400, f"{place}.data holds {json.dumps(wrong[0])[:80]}, which is no {datatype}")
    if not datatype.startswith("FP") or int not in kinds:
        return values
    try:
        return [value if value is None else float(value) for value in values]
    except OverflowError:
        raise Problem(400, f"{place}.data holds a number that is too large for {datatype}") from None


def _find_beyond(values: list[int], datatype: str) -> list[int]:
    """The whole numbers that a datatype has no room for."""
    is_signed, bits = datatype.startswith("INT"), int(datatype.lstrip("UINT"))
    low, high = (-(1 << bits - 1), 1 << bits - 1) if is_signed else (0, 1 << bits)
    if not values or (low <= min(values) and max(values) < high):
        return []
    return [value for value in values if not low <= value < high]


def measure(value: list[Any]) -> tuple[list[Any], list[int]]:
    """The values of nested lists and their shape; lists that remain among the values say that it is irregular."""
    shape = [len(value)]
    while value and all(isinstance(item, list) for item in value) and len({len(item) for item in value}) == 1:
        shape.append(len(value[0]))
        value = [item for row in value for item in row]
    return value, shape


def _decode_text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}


def _parse_text(value: Any, place: str) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        raise Problem(400, f"{place}: content_type is {JSON_TEXT}, but an element is no JSON") from None
