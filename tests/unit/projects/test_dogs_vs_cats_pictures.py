"""The pictures of projects/dogs_vs_cats: what is one, what is listed and left out, and what prep makes of a folder."""

import os
import struct
import zlib
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest

Image = pytest.importorskip(
    "PIL.Image", reason="pillow is not installed here; test_torch_projects.py runs this in an environment that has it"
)

from dogs_vs_cats import make_data  # noqa: E402
from dogs_vs_cats.classifier.prep import prep  # noqa: E402
from dogs_vs_cats.common_utils.pictures import PictureError, prepare  # noqa: E402
from dogs_vs_cats.common_utils.prepared import read_pictures  # noqa: E402
from dogs_vs_cats.common_utils.split import choose_split  # noqa: E402
from dogs_vs_cats.common_utils.tables import Listed, read_index, write_listed  # noqa: E402

SIZE = 32
DATA = {
    "img_dimensions": SIZE, "train_pct": 0.6, "val_pct": 0.2, "test_pct": 0.2, "split_seed": 0,
    "bad_pictures": "leave_out", "odd_pictures": "convert",
}  # fmt: skip


def picture(mode="RGB", format="JPEG", size=(64, 48), **options):
    rows = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(rows).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(exif=exif.tobytes())


def huge_png(side=20_000):
    """A PNG whose header says 20,000 x 20,000: nothing of that size is ever decoded."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = b"IHDR" + header
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + end


BAD = {
    "truncated.jpg": (picture()[:600], "(?i)truncated"),
    "text.jpg": (b"this is a text", "no PNG or JPEG"),
    "one.jpg": (picture(size=(1, 1)), "1 x 1 pixels, smaller"),
    "huge.png": (huge_png(), "20000 x 20000|pixels"),
    "empty.jpg": (b"", "empty"),
    "gif.jpg": (picture("P", "GIF"), "no PNG or JPEG"),
}
ODD = {
    "cmyk.jpg": (picture("CMYK"), "CMYK"),
    "grey.jpg": (picture("L"), "grey"),
    "palette.png": (picture("P", "PNG"), "palette"),
    "rotated.jpg": (rotated(), "rotated by EXIF"),
    "transparent.png": (picture("RGBA", "PNG"), "transparent"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_says_why(name):
    content, why = BAD[name]
    with pytest.raises(PictureError, match=why):
        prepare(content, SIZE)


@pytest.mark.parametrize("name", ODD)
def test_what_is_out_of_the_ordinary_is_converted_and_said(name):
    content, why = ODD[name]
    prepared = prepare(content, SIZE)
    assert prepared.pixels.shape == (SIZE, SIZE, 3) and prepared.pixels.dtype == np.uint8
    assert list(prepared.oddities) == [why]


def test_a_picture_that_exif_turns_is_upright():
    white_top = np.zeros((64, 64, 3), np.uint8)
    white_top[:32] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    buffer = BytesIO()
    Image.fromarray(white_top).save(buffer, "JPEG", exif=exif.tobytes())
    pixels = prepare(buffer.getvalue(), SIZE).pixels
    assert pixels[:8].mean() < 30 and pixels[-8:].mean() > 225


def test_16_bits_a_pixel_become_8():
    buffer = BytesIO()
    Image.fromarray(np.full((40, 40), 257 * 100, np.uint16)).save(buffer, "PNG")
    assert np.unique(prepare(buffer.getvalue(), SIZE).pixels).tolist() == [100]


@pytest.fixture
def images(tmp_path):
    """The folder that a download makes: sixty good pictures, and the bad and odd ones."""
    files = {f"good{number}.jpg": picture() for number in range(60)}
    files |= {name: content for name, (content, _) in (BAD | ODD).items()}
    rows = []
    for number, (name, content) in enumerate(files.items()):
        (tmp_path / name).write_bytes(content)
        label = number % 2
        rows.append(Listed(bucket="b", s3_image=name, category=["cat", "dog"][label], label=label, local_image=name))
    write_listed(tmp_path / "images.csv", rows)
    (tmp_path / "images.json").write_text('{"source": "drawn", "synthetic": true}')
    return tmp_path


def run(images, folder, **changes):
    payload = {"params": {"data": DATA | changes}, "inputs": {"images": str(images)}}
    return prep(SimpleNamespace(payload={**payload, "outputs": {"pictures": str(folder)}}))


def test_bad_pictures_are_listed_by_name_and_left_out(images, tmp_path, capsys):
    result = run(images, tmp_path / "pictures")
    assert result["metrics"]["left_out"] == len(BAD)
    assert result["metrics"]["pictures"] == 60 + len(ODD)
    listed = (tmp_path / "pictures" / "left_out.csv").read_text()
    said = capsys.readouterr().out
    for name in (*BAD, *ODD):
        assert name in listed and name in said
    assert not set(BAD) & {row.path for row in read_index(tmp_path / "pictures" / "index.csv")}


def test_bad_pictures_are_refused_by_a_setting(images, tmp_path):
    with pytest.raises(PictureError, match=f"{len(BAD)} pictures are refused") as caught:
        run(images, tmp_path / "pictures", bad_pictures="refuse")
    assert all(name in str(caught.value) for name in BAD)
    with pytest.raises(PictureError, match=f"{len(ODD)} pictures are refused"):
        run(images, tmp_path / "pictures", odd_pictures="refuse")
    assert run(images, tmp_path / "pictures", odd_pictures="leave_out")["metrics"]["pictures"] == 60
    with pytest.raises(ValueError, match=r"data\.bad_pictures is 'drop', expected one of leave_out, refuse"):
        run(images, tmp_path / "pictures", bad_pictures="drop")


def test_the_index_and_the_pixels_are_of_the_same_pictures(images, tmp_path):
    run(images, tmp_path / "pictures")
    rows = read_pictures(tmp_path / "pictures")
    assert rows.values.shape == (len(rows.index), SIZE, SIZE, 3) and list(rows.names) == ["cat", "dog"]
    for place, row in enumerate(rows.index):
        assert (rows.values[place] == prepare(images / row.path, SIZE).pixels).all()
        assert row.split == choose_split(row.path, {"train": 0.6, "val": 0.2, "test": 0.2}, seed=0)
    parts = [rows.part(split) for split in ("train", "val", "test")]
    assert sum(len(part.index) for part in parts) == len(rows.index)
    assert all(
        {row.split for row in part.index} == {name} for part, name in zip(parts, ("train", "val", "test"), strict=True)
    )


def test_nothing_that_is_handed_on_is_a_pickle_or_an_absolute_path(images, tmp_path):
    run(images, tmp_path / "pictures")
    for path in (tmp_path / "pictures").iterdir():
        content = path.read_bytes()
        assert str(tmp_path).encode() not in content
        assert content[:2] not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def test_too_few_pictures_for_a_part_are_an_error(images, tmp_path):
    with pytest.raises(ValueError, match=r"no (cat|dog) in the part (val|test)"):
        run(images, tmp_path / "pictures", train_pct=0.989, val_pct=0.01, test_pct=0.001)


def test_without_photographs_some_are_drawn_and_it_is_said_loudly(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MODELYARD_DATA", raising=False)
    monkeypatch.setattr(make_data, "COUNT", 3)
    make_data.main(tmp_path)
    said = capsys.readouterr()
    assert "SYNTHETIC" in said.out and "SYNTHETIC" in said.err
    assert '"synthetic": true' in (tmp_path / "s3_images.json").read_text()
    first = [path.read_bytes() for path in sorted((tmp_path / "bucket").rglob("*.jpg"))]
    assert len(first) == 6
    make_data.main(tmp_path)
    assert "already there and unchanged" in capsys.readouterr().out
    (tmp_path / "s3_images.csv").write_text("bucket,s3_image,category,label\n")
    (tmp_path / "s3_images.json").unlink()
    make_data.main(tmp_path)
    assert "yours, left as it is" in capsys.readouterr().out


@pytest.mark.skipif("MODELYARD_DATA" not in os.environ, reason="MODELYARD_DATA, with the photographs, is not set")
def test_the_photographs_are_copied(tmp_path):
    if make_data.find_local() is None:
        pytest.skip("no photographs")
    make_data.main(tmp_path)
    assert len(list((tmp_path / "bucket").rglob("*.jpg"))) == 1000
    assert '"synthetic": false' in (tmp_path / "s3_images.json").read_text()
