"""Make data/X.npy (5000, 2) and data/y.npy (5000, 1), with y = X w and w = [2, 3], the same every time.

`make data` runs this. By hand, in the workspace: PYTHONPATH=.:projects python -m torch_linear.make_data
"""

import sys
from pathlib import Path

import numpy as np

from common_utils.arrays import write_arrays
from common_utils.dataset import describe_dataset, digest_recipe, write_sidecar

W = [[2.0], [3.0]]
ROWS = 5000
SOURCE = "y = X w with w = [2, 3], X by a seeded generator"


def main(folder: Path) -> None:
    """Make the two files, unless they are there and would be the same."""
    targets = [folder / "X.npy", folder / "y.npy"]
    recipe = digest_recipe(__file__)
    if describe_dataset(targets, recipe=recipe):
        print(f"{folder}: X.npy and y.npy are already there and unchanged")
        return
    X = np.random.default_rng(0).normal(size=(ROWS, 2))
    for path, array in zip(targets, (X, X @ W), strict=True):
        path.with_suffix(".json").unlink(missing_ok=True)
        write_arrays(path, array)
        write_sidecar(path, source=SOURCE, recipe=recipe, synthetic=True)
        print(f"{path}: {array.shape}, {SOURCE}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
