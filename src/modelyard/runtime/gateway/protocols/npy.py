"""Arrays in numpy's file format, as SageMaker's own predictors send and expect them, without numpy.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import ast
import re
import struct
from collections.abc import Sequence
from math import prod
from typing import Any

from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.tensors import find_datatype, measure, nest, pack, unpack

NPY = "application/x-npy"
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 4096
_ALIGNMENT = 64
_MAX_RANK = 32
_TEXT = re.compile(r"U[1-9][0-9]{0,8}")  # not U0: of empty text, any number fits into no bytes
_MAX_TEXT = 1 << 28
_DATATYPES = {
    **{"b1": "BOOL", "i1": "INT8", "i2": "INT16", "i4": "INT32", "i8": "INT64"},
    **{"u1": "UINT8", "u2": "UINT16", "u4": "UINT32", "u8": "UINT64", "f2": "FP16", "f4": "FP32", "f8": "FP64"},
}
_DESCRIPTIONS = {"BOOL": "|b1", "INT64": "<i8", "UINT64": "<u8", "FP64": "<f8"}


def decode_npy(data: bytes) -> Any:
    """The values of an array as nested lists, NaN and infinity as None; raise Problem 400 for what is no such file.

    Numbers, booleans and text (`<U8`) of any shape are taken; pickled objects never are.
    """
    try:
        description, is_columnwise, shape, start = _read_header(data)
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError, struct.error):
        raise Problem(400, "the body is no NPY file: send what numpy.save writes") from None
    order, code = description[:1].replace("|", "<").replace("=", "<"), description[1:]
    if _TEXT.fullmatch(code):
        values: list[Any] = _read_texts(data[start:], int(code[1:]), prod(shape), order)
    elif code in _DATATYPES:
        _check_size(data[start:], int(code[1:]) * prod(shape))
        values = unpack(data[start:], _DATATYPES[code], "the array", order=order)
    else:
        hint = "send an array of numbers, booleans or text"
        raise Problem(400, f"the array's dtype is {description!r}, which holds no plain values: {hint}")
    if is_columnwise and values:
        values = [values[place] for place in _find_places(shape)]
    return nest(values, shape)


def encode_npy(rows: list[Any]) -> bytes:
    """Rows of numbers, booleans or text as an array; raise Problem 406 where they are none."""
    values, shape = measure(rows)
    datatype = find_datatype(values)
    if datatype in _DESCRIPTIONS:
        description, data = _DESCRIPTIONS[datatype], pack(values, datatype)
    elif all(isinstance(value, str) for value in values):
        width = max(map(len, values), default=1) or 1
        if 4 * width * len(values) > _MAX_TEXT:  # an array has room for the longest in every place
            raise Problem(406, "the answer's longest text makes too large an array: accept application/json")
        description, data = (
            f"<U{width}",
            "".join(value.ljust(width, "\0") for value in values).encode("utf-32-le", "surrogatepass"),
        )
    else:
        raise Problem(406, "the answer is no array of numbers or text: accept application/json")
    header = f"{{'descr': '{description}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(_MAGIC) + 4 + len(header) + 1) % _ALIGNMENT) + "\n"
    return _MAGIC + bytes([1, 0]) + struct.pack("<H", len(header)) + header.encode() + data


def _read_header(data: bytes) -> tuple[str, bool, Sequence[int], int]:
    """The dtype's description, whether columns come first, the shape, and where the values begin."""
    length = "<H" if data[6:7] == b"\1" else "<I"
    start = len(_MAGIC) + 2 + struct.calcsize(length)
    end = start + struct.unpack_from(length, data, len(_MAGIC) + 2)[0]
    if not data.startswith(_MAGIC) or not start < end <= min(len(data), start + _LONGEST_HEADER):
        raise ValueError
    header = ast.literal_eval(data[start:end].decode().strip())
    description, shape = header["descr"], header["shape"]
    if not isinstance(description, str) or not isinstance(shape, tuple) or len(shape) > _MAX_RANK:
        raise ValueError
    if not all(type(size) is int and 0 <= size <= len(data) for size in shape):
        raise ValueError
    return description, bool(header["fortran_order"]), shape, end


def _read_texts(data: bytes, width: int, count: int, order: str) -> list[str]:
    _check_size(data, 4 * width * count)
    try:
        text = data.decode("utf-32-le" if order == "<" else "utf-32-be")
    except UnicodeDecodeError:
        raise Problem(400, "the array holds text that is no Unicode") from None
    return [text[width * number : width * (number + 1)].rstrip("\0") for number in range(count)]


def _check_size(data: bytes, expected: int) -> None:
    if len(data) != expected:
        raise Problem(400, f"the array's shape and dtype take {expected} bytes, the body has {len(data)}")


def _find_places(shape: Sequence[int]) -> list[int]:
    """Where the values of an array that is written column by column are, row by row."""
    places, stride = [0], 1
    for size in shape:
        places = [place + number * stride for place in places for number in range(size)]
        stride *= size
    return places
