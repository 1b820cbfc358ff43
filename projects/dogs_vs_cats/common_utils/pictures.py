"""How a picture becomes the trunk's pixels: the same function when training and when answering.

A PNG or JPEG file of any kind becomes RGB, upright, scaled to a square. What is no picture is a PictureError that says
why; what had to be changed on the way (grey, palette, CMYK, transparent, rotated by EXIF) is said as well.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SMALLEST, MOST_PIXELS = 16, 64_000_000
MOST_BYTES = 64 * 1024 * 1024
_FORMATS = ("PNG", "JPEG")
_ORIENTATION = 0x0112
_ODD_MODES = {"CMYK": "CMYK", "L": "grey", "LA": "grey", "P": "palette", "RGBA": "transparent", "1": "black and white"}


class PictureError(ValueError):
    """This is no picture that can be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A picture's pixels, uint8 of shape (size, size, 3), and what about it was out of the ordinary."""

    pixels: np.ndarray
    oddities: Sequence[str]


def prepare(content: bytes | Path, size: int) -> Prepared:
    """Return the pixels of a PNG or JPEG file; raise PictureError for what is none."""
    try:
        with Image.open(BytesIO(_read(content)), formats=_FORMATS) as image:
            _check_size(image)
            oddities = _find_oddities(image)
            image.draft(
                "RGB", (size * 2, size * 2)
            )  # a JPEG is decoded at a fraction of its size: several times faster
            upright = ImageOps.exif_transpose(image)
            square = _as_rgb(upright).resize((size, size), Image.Resampling.BILINEAR)
    except PictureError:
        raise
    except (OSError, SyntaxError, ValueError, struct.error, OverflowError, MemoryError) as error:
        raise PictureError(f"no PNG or JPEG file that can be read ({_first_line(error)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(f"more than {MOST_PIXELS:,} pixels") from None
    return Prepared(pixels=np.asarray(square, np.uint8), oddities=oddities)


def _read(content: bytes | Path) -> bytes:
    data = content if isinstance(content, bytes) else content.read_bytes()
    if not data:
        raise PictureError("empty")
    if len(data) > MOST_BYTES:
        raise PictureError(f"{len(data):,} bytes, more than {MOST_BYTES:,}")
    return data


def _check_size(image: Image.Image) -> None:
    if min(image.size) < SMALLEST:
        raise PictureError(f"{image.width} x {image.height} pixels, smaller than {SMALLEST} x {SMALLEST}")
    if image.width * image.height > MOST_PIXELS:
        raise PictureError(f"{image.width} x {image.height} pixels, more than {MOST_PIXELS:,}")


def _find_oddities(image: Image.Image) -> list[str]:
    found = [] if image.mode == "RGB" else [_ODD_MODES.get(image.mode, f"mode {image.mode}")]
    if image.getexif().get(_ORIENTATION, 1) not in (0, 1):
        found.append("rotated by EXIF")
    return found


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return the colours; what is transparent is white paper, and 16 bits a pixel become 8."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image, np.float32) / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].replace(" <_io.BytesIO object", "").split(" at 0x")[0]
