"""The pictures in a request, however they are written: nested lists, or PNG and JPEG files in base64."""

import base64
import binascii
import struct
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageOps

EXPECTED = (
    'expected {"instances": [picture, ...]}, a picture being rows of 0..255, or {"b64": "<PNG or JPEG in base64>"}, '
    'or one file as {"binData": "<base64>"}'
)
LARGEST = 4096


def read_pictures(payload: Any) -> list[np.ndarray]:
    """Return the grey pictures (height, width) of a request; raise ValueError that names the one that is none."""
    match payload:
        case {"instances": list(instances)}:
            pass
        case {"binData": _}:
            instances = [payload]
        case {"image_bytes": _} | {"b64": _} | str():
            instances = [payload]
        case list():
            instances = [payload] if _is_one_picture(payload) else payload
        case _:
            raise ValueError(EXPECTED)
    if not instances:
        raise ValueError(f"no pictures; {EXPECTED}")
    return [_read_picture(instance, place=f"picture {number}") for number, instance in enumerate(instances)]


def _read_picture(instance: Any, *, place: str) -> np.ndarray:
    match instance:
        case {"binData": str(text)} | {"b64": str(text)} | {"image_bytes": {"b64": str(text)}} | str(text):
            return _decode_file(text, place=place)
        case list():
            return _read_rows(instance, place=place)
    raise ValueError(f"{place}: {EXPECTED}")


def _read_rows(rows: list[Any], *, place: str) -> np.ndarray:
    """Return an array of (height, width); 784 numbers in one row are 28 x 28, a channel axis of one is dropped."""
    try:
        picture = np.array(rows, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{place}: its rows hold what is no number, or differ in length") from None
    if picture.size == 784 and (picture.ndim != 2 or min(picture.shape) == 1):
        picture = picture.reshape(28, 28)
    if picture.ndim != 2 or not 2 <= min(picture.shape) <= max(picture.shape) <= LARGEST:
        raise ValueError(f"{place}: shape {picture.shape}, expected (28, 28), or another (height, width)")
    if not ((picture >= 0) & (picture <= 255)).all():
        raise ValueError(f"{place}: values from {picture.min():g} to {picture.max():g}, expected 0..255")
    return picture


def _decode_file(text: str, *, place: str) -> np.ndarray:
    """Return the grey pixels of a PNG or JPEG file in base64, a data: URL's too; what is transparent is white paper."""
    try:
        data = base64.b64decode(text.rpartition("base64,")[2], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{place}: no base64") from None
    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            if not 2 <= min(image.size) <= max(image.size) <= LARGEST:
                raise ValueError(f"{place}: {image.width} x {image.height} pixels, expected at most {LARGEST} each way")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # 16 bits a pixel: convert would cut them off at 255
                return np.asarray(upright, dtype=np.float32) / 257
            if upright.mode == "L":
                return np.asarray(upright)
            coloured = upright.convert("RGBA")
    except (OSError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{place}: no PNG or JPEG file that can be read ({type(error).__name__})") from None
    paper = Image.new("RGBA", coloured.size, "white")
    return np.asarray(Image.alpha_composite(paper, coloured).convert("L"))


def _is_one_picture(values: list[Any]) -> bool:
    """Tell whether a bare list is one picture (784 numbers, or rows of them) and not a list of pictures."""
    if not values or not isinstance(values[0], list):
        return not values or isinstance(values[0], int | float)
    return not values[0] or (not isinstance(values[0][0], list) and len(values[0]) != 784)
