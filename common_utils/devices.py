"""Which device a torch model works on: decided here, and nowhere else."""

import logging
import os
import re
from typing import Any

import torch

_WISH = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_log = logging.getLogger(__name__)


class DeviceError(Exception):
    """The device that was asked for is not here, or has no room. No ValueError: no request can help it."""


def choose_device(wish: str | None = None) -> torch.device:
    """Return the device for `wish`: auto, cpu, cuda, cuda:N or mps. Without a wish, the variable DEVICE decides.

    auto takes the first CUDA device, else Apple's, else the CPU. Raises DeviceError for a device that is not here.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    wish = wish or os.environ.get("DEVICE") or "auto"
    if not _WISH.fullmatch(wish):
        raise DeviceError(f"device {wish!r}: expected auto, cpu, cuda, cuda:N (for example cuda:1) or mps")
    device = _best_device() if wish == "auto" else torch.device(wish)
    if device.type == "cuda":
        device = _checked_cuda(device, wish)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device 'mps': this torch sees no Apple GPU; use device=auto or cpu")
    _log.info("device %s (asked for: %s)", device, wish)
    return device


def describe_device(device: torch.device) -> dict[str, Any]:
    """Return what a manifest says of the device that a model was trained on."""
    if device.type != "cuda":
        return {"device": str(device)}
    return {"device": str(device), "name": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _checked_cuda(device: torch.device, wish: str) -> torch.device:
    """Return the device with its number; `cuda` alone is the first one."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = device.index or 0
    if number >= count:
        found, way_out = f"sees {count} CUDA device(s)", "look at nvidia-smi and at the log's warnings (an old driver?)"
        if torch.version.cuda is None:
            found, way_out = "is built without CUDA", "build with VARIANT=cuda"
        raise DeviceError(f"device {wish!r}: torch {torch.__version__} {found}; use device=auto or cpu, or {way_out}")
    return torch.device("cuda", number)
