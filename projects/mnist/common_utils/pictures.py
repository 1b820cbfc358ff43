"""How a picture becomes the network's input: the same function when training and when answering.

It does what the makers of MNIST did: the digit is light on dark, fits into 20 x 20 pixels, and its centre of mass is in
the middle of 28 x 28. So a picture of MNIST stays as it is, and a photograph or a drawing becomes one like it.
"""

import numpy as np
from PIL import Image

SIZE = 28
BOX = 20
FITTING = range(17, BOX + 1)
MARGIN = 2
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's training pixels, scaled to 0..1
_FAINT = 0.1  # what has less than this share of the strongest ink is no part of the digit's outline


def prepare(picture: np.ndarray) -> np.ndarray:
    """Return the network's input, float32 of shape (1, 28, 28), for a grey picture (height, width) of 0..255.

    Raises ValueError for a picture that is blank.
    """
    ink = _find_ink(np.asarray(picture, dtype=np.float32))
    pixels = _centre(_fit(ink))
    return ((pixels / 255 - MEAN) / DEVIATION)[None]


def prepare_all(pictures: np.ndarray) -> np.ndarray:
    """Return the network's inputs, float32 of shape (n, 1, 28, 28)."""
    return np.stack([prepare(picture) for picture in pictures])


def _find_ink(grey: np.ndarray) -> np.ndarray:
    """Return how much ink is where, 0..255. A picture that is light around its edge is dark ink on light paper."""
    edge = np.sort(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    if edge[len(edge) // 2] > 127:
        grey, edge = 255 - grey, 255 - edge[::-1]
    paper, grain = edge[len(edge) // 2], edge[len(edge) * 84 // 100]  # np.percentile takes as long as all the rest
    ink = grey - paper
    ink[ink < 3 * (grain - paper)] = 0
    strongest = ink.max()
    if strongest < 1:
        raise ValueError("the picture is blank, expected a digit")
    return np.clip(ink, 0, None) * (255 / strongest)


def _fit(ink: np.ndarray) -> np.ndarray:
    """Cut out the digit, with a margin, and scale it into 20 x 20 pixels unless it fits already."""
    outline = ink >= _FAINT * 255
    rows, columns = (np.flatnonzero(outline.any(axis)) for axis in (1, 0))
    longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    scale = 1.0 if longest in FITTING else BOX / longest
    margin = int(MARGIN / scale)
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    digit = ink[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]
    if scale == 1.0:
        return digit
    height, width = (max(1, round(length * scale)) for length in digit.shape)
    return np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BILINEAR))


def _centre(digit: np.ndarray) -> np.ndarray:
    """Put the digit into 28 x 28 pixels, its centre of mass as near to the middle as it fits."""
    pixels = np.zeros((SIZE, SIZE), dtype=np.float32)
    height, width = digit.shape
    total = digit.sum()
    top = _place(height, float(digit.sum(1) @ np.arange(height)) / total)
    left = _place(width, float(digit.sum(0) @ np.arange(width)) / total)
    pixels[top : top + height, left : left + width] = digit
    return pixels


def _place(length: int, centre: float) -> int:
    return min(max(round(SIZE / 2 - centre), 0), SIZE - length)
