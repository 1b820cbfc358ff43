"""A data set of the project, `data/<name>/`: arrays that are mapped, not read, so workers share what they look at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from kubeml import roles
from kubeml.folders import find_folder, is_there, open_folder

Parts = dict[str, tuple[np.ndarray, np.ndarray]]


class KubeDataset(Dataset[Any]):
    """`data` and `labels` are arrays: those of the training, and while a model is validated those of the test.

    Subclasses override `__getitem__` and `__len__`. In a daemon, which only answers, both are None. `otherwise` makes
    the arrays, {"train": (data, labels), "test": ...}, while there is no data set of that name.
    """

    def __init__(self, dataset: str, *, otherwise: Callable[[], Parts] | None = None) -> None:
        self.dataset = dataset
        self.data: Any = None
        self.labels: Any = None
        self._is_training = True
        self.folder: Path | None = None
        self._opened: Parts = {}
        if roles.is_serving():
            return
        if otherwise is not None and not is_there(dataset):
            self._opened = otherwise()
        else:
            self.folder = find_folder(dataset)
            self._opened = open_folder(self.folder)
        self.show(training=True)

    def is_training(self) -> bool:
        """Tell whether `data` and `labels` are those to train on."""
        return self._is_training

    def __getitem__(self, index: int) -> Any:
        return self.data[index], self.labels[index]

    def __len__(self) -> int:
        return len(self.data)

    def show(self, *, training: bool) -> None:
        """Make `data` and `labels` those of the training or of the test."""
        self._is_training = training
        self.data, self.labels = self._opened["train" if training else "test"]
