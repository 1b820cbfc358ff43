"""Make data/s3_images.csv, and data/bucket with the pictures that it lists: a folder that stands for a bucket.

They come from $MODELYARD_DATA/dogs_vs_cats where that is set (its CSV, and the pictures that it names). A table that
you have put there yourself is left alone: with aws.bucket_name in config.yaml, its pictures come from that bucket. With
neither, 240 pictures of two kinds are drawn. These are SYNTHETIC: they show that everything works, and nothing about
cats and dogs. It says which.

`make data` runs this. By hand, in the workspace: PYTHONPATH=.:projects python -m dogs_vs_cats.make_data
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from common_utils.dataset import describe_dataset, digest_recipe, write_sidecar
from dogs_vs_cats.common_utils.tables import COLUMNS, TableError, read_listed, write_rows

TABLE, BUCKET = "s3_images.csv", "bucket"
REAL = "photographs of cats and dogs"
SYNTHETIC = "SYNTHETIC: drawn by make_data.py, no photographs"
COUNT = 120


def main(folder: Path) -> None:
    """Make both, unless they are there and would be the same."""
    table, recipe = folder / TABLE, digest_recipe(__file__)
    local = find_local()
    present = describe_dataset([table], recipe=recipe)
    if present and (present["synthetic"] is False or local is None):
        print(f"{table}: already there and unchanged ({present['source']})")
        return
    if table.is_file() and not table.with_suffix(".json").is_file():
        print(f"{table}: yours, left as it is")
        return
    folder.mkdir(parents=True, exist_ok=True)
    table.with_suffix(".json").unlink(missing_ok=True)
    shutil.rmtree(folder / BUCKET, ignore_errors=True)
    if local is not None:
        count = copy_photographs(local, folder)
        write_sidecar(table, source=REAL, recipe=recipe)
        print(f"{table}: {count:,} {REAL}")
        return
    count = draw_all(folder)
    write_sidecar(table, source=SYNTHETIC, recipe=recipe, synthetic=True)
    print(f"{table}: {count} pictures. {SYNTHETIC}. For photographs set MODELYARD_DATA, or put your own table there.")


def find_local() -> Path | None:
    """Return the CSV of $MODELYARD_DATA/dogs_vs_cats; None where the variable is not set."""
    if not os.environ.get("MODELYARD_DATA"):
        return None
    folder = Path(os.environ["MODELYARD_DATA"]).expanduser() / "dogs_vs_cats"
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        sys.exit(f"{folder}: no CSV here\n  hint: put a table of {', '.join(COLUMNS)} there, or unset MODELYARD_DATA")
    return tables[0]


def copy_photographs(source: Path, folder: Path) -> int:
    """Copy the table and the pictures that it lists; what it lists and has not is the download's to tell."""
    try:
        rows = read_listed(source)
    except TableError as error:
        sys.exit(f"{error}\n  hint: correct the table, or unset MODELYARD_DATA")
    for row in rows:
        path, target = source.parent / row.s3_image, folder / BUCKET / row.s3_image
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    write_table(folder, [(row.s3_image, row.category, row.label) for row in rows])
    return len(rows)


def draw_all(folder: Path) -> int:
    """Draw as many pictures of each kind, always the same ones."""
    print(f"no photographs: {SYNTHETIC}", file=sys.stderr)
    generator, rows = np.random.default_rng(0), []
    for number in range(COUNT):
        for label, name in enumerate(("cat", "dog")):
            key = f"synthetic/{name}/{name}.{number}.jpg"
            path = folder / BUCKET / key
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_face(generator, pointed=label == 0).save(path, quality=90)
            rows.append((key, name, label))
    write_table(folder, rows)
    return len(rows)


def draw_face(generator: np.random.Generator, *, pointed: bool) -> Image.Image:
    """Draw a face with pointed ears, or with hanging ones, somewhere on a picture of some noise."""
    width, height = int(generator.integers(180, 320)), int(generator.integers(160, 260))
    paper = generator.integers(90, 200, 3) + generator.normal(0, 12, (height, width, 3))
    image = Image.fromarray(paper.clip(0, 255).astype(np.uint8))
    pen, least = ImageDraw.Draw(image), min(width, height)
    radius = int(generator.integers(least // 6, least // 4 + 1))
    x, y = (int(generator.integers(2 * radius, length - 2 * radius + 1)) for length in (width, height))
    colour = tuple(int(value) for value in generator.integers(20, 90, 3))
    for side in (-1, 1):
        outer, inner = x + side * radius, x + side * radius // 4
        if pointed:
            pen.polygon([(outer, y - radius // 3), (inner, y - radius), (outer, y - 2 * radius)], fill=colour)
        else:
            left, right = sorted((outer - side * radius // 4, outer + side * radius // 2))
            pen.ellipse([left, y - radius // 2, right, y + radius], fill=colour)
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    for side in (-1, 1):
        eye = x + side * radius // 2
        pen.ellipse([eye - 5, y - 12, eye + 5, y - 2], fill="white")
    return image


def write_table(folder: Path, rows: list[tuple[str, str, int]]) -> None:
    """Write the CSV."""
    listed = [dict(zip(COLUMNS, ("bucket", *row), strict=True)) for row in rows]
    write_rows(folder / TABLE, COLUMNS, listed)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
