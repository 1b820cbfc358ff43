"""Several workers on one card: each claims its memory when it starts; one that finds too little left does not start.

A claim is a locked file that names a number of bytes; the lock goes with the process, however that ends. A process
can't take more than it claimed, so what one does never makes another run out of memory.
"""

import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common_utils.devices import DeviceError
from utils.atomic import locked_folder

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_MARGIN = 1.1
# What CUDA itself takes for a process (context, kernels, libraries), outside of torch's count.
_CONTEXT = 512 * 2**20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnClaim:
    """What this process has claimed of one device: an open, locked file and a number of bytes."""

    file: int
    size: int


_own: dict[Path, OwnClaim] = {}


def claim_memory(device: torch.device, wish: str | None, *, measure: Callable[[], Any]) -> int:
    """Claim memory of a CUDA device for this process and keep it from taking more; return the number of bytes.

    `wish` is the DEVICE_MEMORY of this worker. `measure` does the largest piece of work there will be: without a wish,
    what that takes is claimed. Raises DeviceError where it isn't there to be had.
    """
    free, total = torch.cuda.mem_get_info(device)
    within_reach = free + torch.cuda.memory_reserved(device)
    if not wish:
        measure()
    size = parse_size(wish) if wish else int(torch.cuda.max_memory_reserved(device) * _MARGIN)
    properties = torch.cuda.get_device_properties(device)
    name = f"{properties.name} {properties.uuid}"
    if size > within_reach:
        raise DeviceError(f"{name}: {_shown(size)} are needed, {_shown(within_reach)} are free; use another DEVICE")
    claimed = place_claim(ledger_for(name), size, total=total, device=name)
    torch.cuda.set_per_process_memory_fraction(min(1.0, claimed / total), device)
    if wish:
        measure()
    _log.info("claimed %s of %s on %s", _shown(size), _shown(total), name)
    return size


def place_claim(ledger: Path, size: int, *, total: int, device: str) -> int:
    """Write a claim into `ledger` and return all that this process has claimed there.

    Raises DeviceError where it and the claims of the living don't fit into `total` bytes.
    """
    ledger.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_folder(ledger):
        others = read_claims(ledger)
        own = _own.get(ledger)
        claimed = size + (own.size if own else 0)
        if sum(others.values()) + claimed + _CONTEXT * (len(others) + 1) > total:
            named = ", ".join(f"process {pid}: {_shown(claim)}" for pid, claim in sorted(others.items())) or "nobody"
            raise DeviceError(
                f"{device}: {_shown(claimed)} of {_shown(total)} are needed, but claimed are {named}; "
                "serve fewer models on this device (DEVICE=cuda:1, DEVICE=cpu), or set DEVICE_MEMORY lower"
            )
        # Stays open, and locked, as long as the process lives: one lock on a device, however many models.
        file = own.file if own else os.open(ledger / str(os.getpid()), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.pwrite(file, str(claimed).encode(), 0)
        _own[ledger] = OwnClaim(file=file, size=claimed)
    return claimed


def read_claims(ledger: Path) -> dict[int, int]:
    """Return the claimed bytes by process; claims of processes that are gone are removed."""
    claims = {}
    for path in ledger.iterdir():
        if not path.name.isdigit() or int(path.name) == os.getpid():
            continue
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                claims[int(path.name)] = int(file.read() or b"0")
            else:
                path.unlink()
    return claims


def ledger_for(device_name: str) -> Path:
    """Return the folder of the claims on a device, the same for every process of this user."""
    safe = re.sub(r"[^A-Za-z0-9-]+", "-", device_name)
    return Path(tempfile.gettempdir()) / f"modelyard-devices-{os.getuid()}" / safe


def parse_size(text: str) -> int:
    """Return the number of bytes that a size names.

    >>> parse_size("2GiB"), parse_size("1.5 GB"), parse_size("4096")
    (2147483648, 1500000000, 4096)
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise DeviceError(f"DEVICE_MEMORY is {text!r}, expected a size such as 2GiB or 500MB")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def _shown(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
