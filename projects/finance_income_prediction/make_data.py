"""Make data/adult_income-prepped.csv (to train on) and data/adult_income-heldout.csv (to evaluate on).

The UCI Adult data come from $MODELYARD_DATA/adult where that is set, else from UCI. Without a network, rows of the same
schema are made up by a seeded generator: they show that everything works, and teach nothing about incomes.

`make data` runs this. By hand, in the workspace: PYTHONPATH=.:projects python -m finance_income_prediction.make_data
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common_utils.dataset import describe_dataset, digest_recipe, write_dataset
from common_utils.download import DownloadError, digest_of, download
from finance_income_prediction.common_utils import income

UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult"
SHA256 = {
    "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
}
TARGETS = {"adult.data": "adult_income-prepped.csv", "adult.test": "adult_income-heldout.csv"}
SOURCE = "UCI Adult, https://archive.ics.uci.edu/dataset/2/adult"
SYNTHETIC = "synthetic, by a seeded generator of the Adult schema"
SYNTHETIC_ROWS = {"adult.data": 8000, "adult.test": 4000}
WARNING = """\
*********************************************************************
**  SYNTHETIC DATA. No network: these rows are MADE UP.            **
**  They have the schema of the Adult data and nothing else of it. **
**  Models that are trained on them are marked "synthetic": true.  **
**  For the real data: set MODELYARD_DATA, or make data online.    **
*********************************************************************"""


def main(folder: Path) -> None:
    """Make the two files, unless they are there and would be the same."""
    targets = [folder / name for name in TARGETS.values()]
    recipe = digest_recipe(__file__, income.__file__)
    present = describe_dataset(targets, recipe=recipe)
    local = os.environ.get("MODELYARD_DATA")
    files = check_local(Path(local).expanduser() / "adult") if local else None
    if present and not present["synthetic"]:
        print(f"{folder}: the Adult data are already there and unchanged")
        return
    with TemporaryDirectory() as scratch:
        files = files or download_or_none(Path(scratch))
        if files is not None:
            write_real(folder, files, recipe=recipe)
            return
    former = describe_dataset(targets)
    if former and not former["synthetic"]:
        print(f"{folder}: kept the Adult data, although an earlier version of {__file__} made them")
        return
    print(WARNING, file=sys.stderr)
    if present:
        print(f"{folder}: the synthetic data are already there and unchanged")
        return
    write_synthetic(folder, recipe=recipe)


def check_local(folder: Path) -> dict[str, Path]:
    """Return the raw files in `folder`; exit with what is wrong where one is missing or not the original."""
    files = {name: folder / name for name in SHA256}
    for name, path in files.items():
        if not path.is_file():
            sys.exit(f"{path}: no such file\n  hint: put adult.data and adult.test there, or unset MODELYARD_DATA")
        if digest_of(path) != SHA256[name]:
            sys.exit(f"{path}: sha256 {digest_of(path)}, expected {SHA256[name]}\n  hint: copy the original file again")
    return files


def download_or_none(folder: Path) -> dict[str, Path] | None:
    """Download the raw files; None where that fails, with the reason on stderr."""
    try:
        return {name: download(f"{UCI}/{name}", folder / name, sha256=SHA256[name]) for name in SHA256}
    except DownloadError as error:
        print(f"no download: {error}", file=sys.stderr)
        return None


def write_real(folder: Path, files: dict[str, Path], *, recipe: str) -> None:
    """Prepare and write the rows of the raw files."""
    for name, path in files.items():
        rows = list(income.prepare_lines(path.read_text(encoding="ascii").splitlines(), source=str(path)))
        write(folder / TARGETS[name], rows, source=SOURCE, recipe=recipe)


def write_synthetic(folder: Path, *, recipe: str) -> None:
    """Write made-up rows, the same every time."""
    for seed, (name, count) in enumerate(SYNTHETIC_ROWS.items()):
        rows = list(make_rows(count, seed=seed))
        write(folder / TARGETS[name], rows, source=SYNTHETIC, recipe=recipe, synthetic=True)


def write(path: Path, rows: list[list[Any]], *, source: str, recipe: str, synthetic: bool = False) -> None:
    """Write one file and say so."""
    write_dataset(path, [*income.COLUMNS, income.LABEL], rows, source=source, recipe=recipe, synthetic=synthetic)
    print(f"{path}: {len(rows):,} rows, {source}")


def make_rows(count: int, *, seed: int) -> Iterator[list[Any]]:
    """Make up rows in which age, education, marriage, hours and capital gains say something about the income."""
    generator = random.Random(seed)
    for _ in range(count):
        age = min(90, max(17, round(generator.gauss(38, 13))))
        education, years = generator.choice(EDUCATION)
        marital, relationship = generator.choice(FAMILY)
        hours = min(99, max(5, round(generator.gauss(40, 11))))
        gain = generator.choice([2174, 5178, 7688, 15024]) if generator.random() < 0.08 else 0
        loss = generator.choice([1408, 1902]) if generator.random() < 0.05 else 0
        score = 0.04 * (age - 38) + 0.45 * (years - 11) + 0.04 * (hours - 40) + 0.0003 * gain + 0.0005 * loss
        score += 1.6 if marital == "Married-civ-spouse" else -1.6
        label = income.LABELS[score + generator.gauss(0, 1.2) > 1.3]
        yield income.prepare_row(
            [
                *(str(age), generator.choice(WORKCLASSES), str(generator.randrange(20_000, 500_000))),
                *(education, str(years), marital, generator.choice(OCCUPATIONS), relationship),
                *(generator.choice(RACES), generator.choice(["Female", "Male"]), str(gain), str(loss), str(hours)),
                *(generator.choice(COUNTRIES), label),
            ]
        )


WORKCLASSES = ["Private", "Private", "Private", "Self-emp-not-inc", "Self-emp-inc", "Local-gov", "State-gov", "?"]
EDUCATION = [("11th", 7), ("HS-grad", 9), ("Some-college", 10), ("Assoc-voc", 11), ("Bachelors", 13), ("Masters", 14)]
FAMILY = [
    ("Married-civ-spouse", "Husband"),
    ("Married-civ-spouse", "Wife"),
    ("Never-married", "Own-child"),
    ("Never-married", "Not-in-family"),
    ("Divorced", "Unmarried"),
    ("Widowed", "Not-in-family"),
]
OCCUPATIONS = ["Adm-clerical", "Craft-repair", "Exec-managerial", "Machine-op-inspct", "Prof-specialty", "Sales", "?"]
RACES = ["White", "White", "White", "Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other"]
COUNTRIES = ["United-States"] * 9 + ["Mexico", "Philippines", "Germany", "?"]

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
