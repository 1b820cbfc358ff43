"""Make data/mnist.npz: pictures and labels to train on, and to evaluate on; and of it data/mnist/, as kubeml reads it.

They come from $MODELYARD_DATA/mnist where that is set, else from the first of MNIST_MIRRORS that answers, else, with
no network, from scikit-learn, which ships 1,797 real digits of 8 x 8 pixels: these are scaled up. It says which.

`make data` runs this. By hand, in the workspace: PYTHONPATH=.:projects python -m mnist.make_data
"""

import gzip
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from common_utils.arrays import read_arrays, write_arrays
from common_utils.dataset import describe_dataset, digest_recipe, write_sidecar
from common_utils.download import DownloadError, digest_of, download
from common_utils.split import split_stratified
from kubeml.folders import MANIFEST, write_folder

MIRRORS = "https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist"
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
WHOLE = "MNIST, 60,000 pictures to train on and 10,000 to evaluate on"
TEST_PART = "MNIST's 10,000 test pictures, split into 8,000 to train on and 2,000 to evaluate on"
SMALL_DIGITS = "scikit-learn's digits, 8 x 8 pixels scaled up: real handwriting, but not MNIST"
Arrays = dict[str, np.ndarray]


def main(folder: Path) -> None:
    """Make the file and the folder, unless they are there and would be the same."""
    make_file(folder)
    make_folder(folder)


def make_folder(folder: Path) -> None:
    """Write the arrays of the file as a data set that workers can map."""
    source, target = folder / "mnist.npz", folder / "mnist"
    if (target / MANIFEST).is_file() and (target / MANIFEST).stat().st_mtime >= source.stat().st_mtime:
        return
    pictures, labels, held_out, held_out_labels = read_arrays(
        source, "pictures", "labels", "held_out_pictures", "held_out_labels"
    )
    write_folder(target, train=(pictures, labels), test=(held_out, held_out_labels))
    print(f"{target}: the same for kubeml")


def make_file(folder: Path) -> None:
    """Make the file, unless it is there and would be the same."""
    target = folder / "mnist.npz"
    recipe = digest_recipe(__file__)
    present = describe_dataset([target], recipe=recipe)
    if present and present["source"] != SMALL_DIGITS:
        print(f"{target}: already there and unchanged ({present['source']})")
        return
    arrays, source = read_local() or download_or_none() or read_small_digits()
    if present and present["source"] == source:
        print(f"{target}: already there and unchanged ({source})")
        return
    former = describe_dataset([target])
    if former and former["source"] != SMALL_DIGITS and source == SMALL_DIGITS:
        print(f"{target}: kept MNIST, although an earlier version of {__file__} made it")
        return
    target.with_suffix(".json").unlink(missing_ok=True)
    write_arrays(target, arrays)
    write_sidecar(target, source=source, recipe=recipe)
    print(f"{target}: {len(arrays['labels']):,} and {len(arrays['held_out_labels']):,} pictures, {source}")


def read_local() -> tuple[Arrays, str] | None:
    """Read MNIST from $MODELYARD_DATA/mnist: all four files, or those of the test set alone."""
    local = os.environ.get("MODELYARD_DATA")
    if not local:
        return None
    folder = Path(local).expanduser() / "mnist"
    names = [name for name in SHA256 if (folder / name).is_file()]
    for name in names:
        if digest_of(folder / name) != SHA256[name]:
            sys.exit(f"{folder / name}: not the original (sha256 {SHA256[name]})\n  hint: copy the file again")
    if set(names) >= set(SHA256):
        return read_whole(folder)
    if not {name for name in SHA256 if name.startswith("t10k")} <= set(names):
        sys.exit(f"{folder}: no MNIST here\n  hint: put {' '.join(SHA256)} there, or unset MODELYARD_DATA")
    pictures, labels = read_pair(folder, "t10k")
    return split(pictures, labels), TEST_PART


def download_or_none() -> tuple[Arrays, str] | None:
    """Download MNIST from the first mirror that has it; None where none does, with the reasons on stderr."""
    with TemporaryDirectory() as scratch:
        for mirror in os.environ.get("MNIST_MIRRORS", MIRRORS).split():
            try:
                for name, sha256 in SHA256.items():
                    download(f"{mirror.rstrip('/')}/{name}", Path(scratch) / name, sha256=sha256)
                return read_whole(Path(scratch))
            except DownloadError as error:
                print(f"no download: {error}", file=sys.stderr)
    return None


def read_whole(folder: Path) -> tuple[Arrays, str]:
    """Read the four files as MNIST's makers split them."""
    pictures, labels = read_pair(folder, "train")
    held_out_pictures, held_out_labels = read_pair(folder, "t10k")
    arrays = {
        "pictures": pictures,
        "labels": labels,
        "held_out_pictures": held_out_pictures,
        "held_out_labels": held_out_labels,
    }
    return arrays, WHOLE


def read_pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures and labels in IDX format: a header of 16 and of 8 bytes, then a byte a pixel and a byte a label."""
    pictures, labels = (gzip.decompress((folder / name).read_bytes()) for name in SHA256 if name.startswith(part))
    return (
        np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=8),
    )


def read_small_digits() -> tuple[Arrays, str]:
    """Scale scikit-learn's digits up to 24 x 24 pixels of 0..255, in the middle of 28 x 28."""
    from sklearn.datasets import load_digits

    print(f"no MNIST: {SMALL_DIGITS}. For MNIST set MODELYARD_DATA, or run this online.", file=sys.stderr)
    digits = load_digits()
    scaled = np.kron(digits.images, np.ones((3, 3))) * (255 / 16)
    pictures = np.pad(scaled.round().astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    return split(pictures, digits.target.astype(np.uint8)), SMALL_DIGITS


def split(pictures: np.ndarray, labels: np.ndarray) -> Arrays:
    """Hold a fifth out, the same share of each digit."""
    train, test = split_stratified(labels, held_out=0.2)
    return {
        "pictures": pictures[train],
        "labels": labels[train],
        "held_out_pictures": pictures[test],
        "held_out_labels": labels[test],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
