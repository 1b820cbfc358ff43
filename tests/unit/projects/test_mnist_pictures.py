"""The pictures of projects/mnist: one function when training and answering, and every way a request writes them."""

import base64
import gzip
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip(
    "PIL.Image", reason="pillow is not installed here; test_torch_projects.py runs this in an environment that has it"
)

from mnist.common_utils.payload import read_pictures  # noqa: E402
from mnist.common_utils.pictures import DEVIATION, MEAN, prepare, prepare_all  # noqa: E402


@pytest.fixture
def seven():
    """A 7 the way MNIST has it: 20 pixels high, its centre of mass in the middle."""
    picture = np.zeros((28, 28), np.uint8)
    picture[4:7, 8:20] = 255
    for row in range(7, 24):
        left = 18 - (row - 7) // 2
        picture[row, left - 2 : left + 1] = 255
    return as_pixels(prepare(picture)).round().astype(np.uint8)


def as_pixels(prepared):
    """Undo the normalisation."""
    return (prepared[0] * DEVIATION + MEAN) * 255


def as_base64(picture, format, **options):
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def test_what_is_prepared_already_stays_as_it_is(seven):
    assert np.abs(as_pixels(prepare(seven)) - seven).max() < 1


def test_dark_ink_on_light_paper_is_the_same_picture(seven):
    assert np.abs(as_pixels(prepare(255 - seven)) - seven).max() < 1


@pytest.mark.parametrize("factor", [3, 10])
def test_a_large_drawing_anywhere_on_the_paper_comes_close_to_it(seven, factor):
    large = np.kron(seven, np.ones((factor, factor), np.uint8))
    drawing = np.pad(large, ((5 * factor, 40 * factor), (30 * factor, 0)))
    assert np.abs(as_pixels(prepare(255 - drawing)) - seven).mean() < 12
    assert prepare(drawing).shape == (1, 28, 28) and prepare(drawing).dtype == np.float32


@pytest.mark.parametrize("shape", [(2, 2), (1000, 3), (3, 1000), (28, 28)])
def test_ink_of_any_shape_fits(shape):
    picture = np.zeros((1010, 1010), np.uint8)
    picture[2 : 2 + shape[0], 2 : 2 + shape[1]] = 200
    assert np.isfinite(prepare(picture)).all()


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_is_an_error(grey):
    with pytest.raises(ValueError, match="blank"):
        prepare(np.full((28, 28), grey, np.uint8))


@pytest.mark.skipif(not os.environ.get("MODELYARD_DATA"), reason="MODELYARD_DATA, which holds MNIST, is not set")
def test_pictures_of_mnist_stay_as_they_are():
    data = gzip.decompress((Path(os.environ["MODELYARD_DATA"]) / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    pictures = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)[:500]
    prepared = prepare_all(pictures)[:, 0] * DEVIATION + MEAN
    assert np.mean(np.abs(prepared * 255 - pictures).max(axis=(1, 2)) < 6) > 0.99


def test_every_way_to_write_a_picture_is_understood(seven):
    rows, flat = seven.tolist(), seven.flatten().tolist()
    png = as_base64(seven, "PNG")
    one = [
        rows,
        [rows],
        flat,
        [flat],
        png,
        {"instances": [rows]},
        {"instances": [flat]},
        {"instances": [png]},
        {"instances": [seven[..., None].tolist()]},
        {"instances": [{"b64": png}]},
        {"instances": [{"image_bytes": {"b64": png}}]},
        {"binData": png},
        {"binData": f"data:image/png;base64,{png}"},
    ]
    for payload in one:
        (picture,) = read_pictures(payload)
        assert np.array_equal(picture, seven), str(payload)[:60]
    assert len(read_pictures([flat, flat])) == len(read_pictures([rows, rows])) == 2


def test_a_jpeg_file_is_understood(seven):
    (picture,) = read_pictures({"binData": as_base64(seven, "JPEG", quality=95)})
    assert np.abs(picture.astype(float) - seven).mean() < 5


def test_what_is_transparent_is_white_paper(seven):
    drawing = np.zeros((28, 28, 4), np.uint8)
    drawing[..., 3] = seven
    (picture,) = read_pictures({"binData": as_base64(drawing, "PNG")})
    assert np.array_equal(picture, 255 - seven)


def test_sixteen_bits_a_pixel_are_scaled(seven):
    (picture,) = read_pictures({"binData": as_base64(seven.astype(np.uint16) * 257, "PNG")})
    assert np.allclose(picture, seven)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, "expected"),
        ({}, "expected"),
        ({"instances": []}, "no pictures"),
        ({"instances": [5]}, "picture 0: expected"),
        ({"instances": [[[1, 2], [3]]]}, "picture 0: its rows"),
        ({"instances": [[["a"]]]}, "picture 0: its rows"),
        ({"instances": [[[1, 2, 3]]]}, r"picture 0: shape \(1, 3\)"),
        ({"instances": [[[256] * 28] * 28]}, "picture 0: values from 256"),
        ({"instances": [[[float("nan")] * 28] * 28]}, "picture 0: values from nan"),
        ({"binData": "no base64!"}, "picture 0: no base64"),
        ({"binData": base64.b64encode(b"GIF89a").decode()}, "picture 0: no PNG or JPEG"),
        ({"binData": 3}, "picture 0: expected"),
        ([], "shape"),
    ],
)
def test_what_is_no_picture_is_an_error_that_says_so(payload, message):
    with pytest.raises(ValueError, match=message):
        read_pictures(payload)


def test_a_truncated_file_is_an_error(seven):
    png = base64.b64decode(as_base64(seven, "PNG"))
    with pytest.raises(ValueError, match="no PNG or JPEG file that can be read"):
        read_pictures({"binData": base64.b64encode(png[:-30]).decode()})


def test_a_picture_too_large_is_refused_before_it_is_unpacked():
    bomb = as_base64(np.zeros((5000, 5000), np.uint8), "PNG")
    assert len(bomb) < 50_000
    with pytest.raises(ValueError, match="5000 x 5000 pixels, expected at most 4096"):
        read_pictures({"binData": bomb})
