"""Make data/wisconsin.csv (to train on) and data/wisconsin-heldout.csv (to evaluate on).

The Wisconsin diagnostic breast cancer data come with scikit-learn, so no network is needed; a quarter is held out.

`make data` runs this. By hand, in the workspace: PYTHONPATH=.:projects python -m tumor_diagnosis.make_data
"""

import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer

from common_utils.dataset import describe_dataset, digest_recipe, write_dataset
from common_utils.split import split_stratified

SOURCE = "Wisconsin diagnostic breast cancer, https://archive.ics.uci.edu/dataset/17, as scikit-learn ships it"


def main(folder: Path) -> None:
    """Make the two files, unless they are there and would be the same."""
    targets = [folder / "wisconsin.csv", folder / "wisconsin-heldout.csv"]
    recipe = digest_recipe(__file__)
    if describe_dataset(targets, recipe=recipe):
        print(f"{folder}: the Wisconsin data are already there and unchanged")
        return
    bunch = load_breast_cancer()
    names = [name.replace(" ", "_") for name in bunch.feature_names]
    for path, indices in zip(targets, split_stratified(bunch.target, held_out=0.25, seed=0), strict=True):
        rows = [[*bunch.data[index].tolist(), str(bunch.target_names[bunch.target[index]])] for index in indices]
        write_dataset(path, [*names, "diagnosis"], rows, source=SOURCE, recipe=recipe)
        print(f"{path}: {len(rows):,} rows, {SOURCE}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
