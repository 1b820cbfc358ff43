"""Several workers on one card: each claims its memory when it starts; one that finds too little left does not start.

A claim is a locked file that names a number of bytes; the lock goes with the process, however that ends. A process
can't take more than it claimed, so what one does never makes another run out of memory.
"""

import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from common_utils.devices import DeviceError
from utils.atomic import locked_folder

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_MARGIN = 1.1
# What CUDA itself takes for a process (context, kernels, libraries), outside of torch's count.
_CONTEXT = 512 * 2**20
# The open, locked file of what this process has claimed of a device, by the device's ledger.
_own: dict[Path, int] = {}
_log = logging.getLogger(__name__)


@contextmanager
def claim_memory(device: torch.device, wish: str | None) -> Iterator[None]:
    """Claim memory of a CUDA device for this process, which loads its model within and does its largest piece of work.

    `wish` is the DEVICE_MEMORY of this worker; without one, what was taken within is claimed. The process never takes
    more than is left to it, and afterwards no more than it claimed. Raises DeviceError where that is too little.
    """
    properties = torch.cuda.get_device_properties(device)
    name = f"{properties.name} {properties.uuid}"
    wanted = parse_size(wish) if wish else None
    ledger = ledger_for(name)
    ledger.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_folder(ledger):  # one worker at a time: none takes what another finds free
        free, total = torch.cuda.mem_get_info(device)
        claims = read_claims(ledger)
        room = find_room(claims, within_reach=free + torch.cuda.memory_reserved(device), total=total)
        limit = wanted or room
        if limit > room or room <= 0:
            raise _too_little(name, f"{_shown(wanted)} are wanted" if wanted else "some are needed", room, claims)
        torch.cuda.set_per_process_memory_fraction(limit / total, device)
        torch.cuda.reset_peak_memory_stats(device)
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise _too_little(name, "the model takes more", limit, claims) from error
        claimed = wanted or min(room, int(torch.cuda.max_memory_reserved(device) * _MARGIN))
        write_claim(ledger, claimed)
        torch.cuda.set_per_process_memory_fraction(claimed / total, device)
    _log.info("claimed %s of %s on %s, %s", _shown(claimed), _shown(total), name, _listed(claims))


def find_room(claims: Mapping[int, int], *, within_reach: int, total: int) -> int:
    """Return the bytes that a process may take which has `within_reach`, where others have made these claims.

    >>> find_room({}, within_reach=3 * 2**30, total=10 * 2**30) / 2**30
    3.0
    >>> find_room({7: 6 * 2**30}, within_reach=9 * 2**30, total=10 * 2**30) / 2**30
    3.0
    """
    return min(within_reach, total - sum(claims.values()) - _CONTEXT * (len(claims) + 1))


def write_claim(ledger: Path, size: int) -> None:
    """Write what this process has claimed in all; the file stays open, and locked, as long as the process lives."""
    file = _own.get(ledger)
    if file is None:
        file = _own[ledger] = os.open(ledger / str(os.getpid()), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
    os.ftruncate(file, 0)
    os.pwrite(file, str(size).encode(), 0)


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


def _too_little(name: str, need: str, left: int, claims: Mapping[int, int]) -> DeviceError:
    return DeviceError(
        f"{name}: {need}, {_shown(max(0, left))} are left, {_listed(claims)}; serve fewer models on this device "
        "(DEVICE=cuda:1, DEVICE=cpu), or give each less (DEVICE_MEMORY)"
    )


def _listed(claims: Mapping[int, int]) -> str:
    named = ", ".join(f"process {pid}: {_shown(claim)}" for pid, claim in sorted(claims.items()))
    return f"others have claimed: {named}" if named else "nobody else has claimed any"


def _shown(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
