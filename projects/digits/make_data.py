"""Make the data set data/digits: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, 360 of them held out.

`make data` runs this. By hand, in the workspace: PYTHONPATH=.:projects python -m digits.make_data
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from kubeml.folders import MANIFEST, write_folder

HELD_OUT = 360


def main(folder: Path) -> None:
    """Make the data set, unless it is there."""
    target = folder / "digits"
    if (target / MANIFEST).is_file():
        print(f"{target}: already there")
        return
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pictures, labels = digits.images.astype(np.uint8)[order], digits.target.astype(np.int64)[order]
    write_folder(
        target,
        train=(pictures[HELD_OUT:], labels[HELD_OUT:]),
        test=(pictures[:HELD_OUT], labels[:HELD_OUT]),
    )
    print(f"{target}: {len(labels) - HELD_OUT} pictures to train on, {HELD_OUT} held out")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
