"""Where a training stands, on disk: so that it goes on from the last averaging, whatever ended it.

A folder beside the models holds the weights of the last two averagings, written by worker 0, and what else each worker
needs to go on (its optimizer's state). Two, because a worker may be killed before it has written the newer one: the
newest that all have written counts.
"""

import errno
import mmap
import os
import re
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from kubeml.errors import KubeError

SCHEMA = 1
_FILE = re.compile(r"(weights|worker-\d+)-(\d+)\.pt")
_STEP = struct.Struct("<qqq")


@dataclass(frozen=True)
class Checkpoints:
    """The folder of a training."""

    folder: Path

    def write(self, name: str, number: int, content: dict[str, Any], *, sync: bool = False) -> None:
        """Write what belongs to an averaging, whole or not at all, and remove that of the last but one."""
        buffer = BytesIO()
        torch.save(content, buffer)
        path = self.folder / f"{name}-{number}.pt"
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as file:
                file.write(buffer.getbuffer())
                if sync:
                    os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            room = "make room, then " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise KubeError(
                f"{path}: can't write where the training stands ({error.strerror}), {len(buffer.getbuffer()):,} bytes",
                hint=f"{room}train again: it goes on from the last averaging that was written",
            ) from None
        for old in self.folder.glob(f"{name}-*.pt"):
            if int(old.stem.rpartition("-")[2]) < number - 1:
                old.unlink(missing_ok=True)

    def newest(self) -> int | None:
        """The number of the newest averaging that every worker of it has written; None where there is none."""
        there: dict[int, set[str]] = {}
        for path in self.folder.glob("*.pt"):
            if match := _FILE.fullmatch(path.name):
                there.setdefault(int(match[2]), set()).add(match[1])
        for number in sorted(there, reverse=True):
            if "weights" in there[number] and self._is_whole(number, there[number]):
                return number
        return None

    def has(self, name: str, number: int) -> bool:
        """Tell whether this was written here."""
        return (self.folder / f"{name}-{number}.pt").is_file()

    def read(self, name: str, number: int) -> dict[str, Any]:
        """Read what was written; raise KubeError for what is no such file."""
        path = self.folder / f"{name}-{number}.pt"
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise self._refuse(path, f"torch can't read it ({error})") from None
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise self._refuse(path, "nothing that a training wrote")
        return content

    def clear(self) -> None:
        """Remove what the folder holds of a training, and the folder."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def refuse_network(self, number: int, error: Exception) -> KubeError:
        """What to say where the weights of an averaging do not fit the network."""
        return self._refuse(self.folder / f"weights-{number}.pt", f"made for another network ({error})")

    def _is_whole(self, number: int, names: set[str]) -> bool:
        needed = self.read("weights", number)["writers"]
        return {f"worker-{rank}" for rank in range(needed)} <= names

    def _refuse(self, path: Path, what: str) -> KubeError:
        return KubeError(f"{path}: {what}", hint="begin anew: modelyard train --fresh (make train FRESH=1)")


class StepNote:
    """Which batch a worker is at, in a page that outlives it: kill -9 leaves no time to say so."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_STEP.size)
            self._page = mmap.mmap(file.fileno(), _STEP.size)

    def enter(self, epoch: int, batch: int) -> None:
        """Say that a batch has begun."""
        _STEP.pack_into(self._page, 0, 1, epoch, batch)

    def leave(self) -> None:
        """Say that no batch is being trained."""
        _STEP.pack_into(self._page, 0, 0, 0, 0)

    @staticmethod
    def read(path: Path) -> tuple[int, int] | None:
        """Epoch and batch that a worker was at; None where it was at none."""
        try:
            is_in, epoch, batch = _STEP.unpack(path.read_bytes()[: _STEP.size])
        except (OSError, struct.error):
            return None
        return (epoch, batch) if is_in else None
