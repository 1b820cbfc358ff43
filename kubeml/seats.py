"""Where a worker sits among the others: its number, its device, its share of the cores, and how they talk."""

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from kubeml.errors import KubeError

LOST_PEER = 75
"""The exit code of a worker that found another one gone: whoever looks for a cause looks further."""
_PATIENCE = 15.0
# How gloo says that another process is gone; nccl has an exception of its own.
_PEER = re.compile(r"gloo/|Connection (closed|reset|refused)|Broken pipe|Timed out waiting")


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A worker's place, as torchrun's variables have it; alone, where there are none."""

    rank: int = 0
    workers: int = 1
    local_rank: int = 0
    local_workers: int = 1

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> "Seat":
        """Take it from the variables that torchrun sets."""
        names = {"rank": "RANK", "workers": "WORLD_SIZE", "local_rank": "LOCAL_RANK"}
        places = {key: int(environ[name]) for key, name in names.items() if name in environ}
        return cls(**places, local_workers=int(environ.get("LOCAL_WORLD_SIZE", places.get("workers", 1))))

    def choose_device(self, platform: str) -> torch.device:
        """A card of its own where cards are asked for and there are any, else the CPU."""
        if platform == "gpu" and torch.cuda.is_available():
            device = torch.device("cuda", self.local_rank % torch.cuda.device_count())
            torch.cuda.set_device(device)
            return device
        return torch.device("cpu")

    def limit_threads(self) -> None:
        """Share the cores: threads of several workers that each take all wait for one another."""
        if self.local_workers > 1:
            torch.set_num_threads(max(1, count_cores() // self.local_workers))

    @contextmanager
    def joined(self, device: torch.device, *, timeout: int) -> Iterator[None]:
        """Be in the process group of all workers; none is needed alone."""
        if self.workers == 1:
            yield
            return
        has_card = device.type == "cuda" and self.local_workers <= torch.cuda.device_count()
        backend = "nccl" if has_card else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
        try:
            yield
        finally:
            dist.destroy_process_group()

    @contextmanager
    def talking(self, *, beside_user_code: bool = False) -> Iterator[None]:
        """Turn what torch says of a peer that is gone into the exit of this process, when the cause has been seen.

        `beside_user_code`: what a user's own code raises goes on.
        """
        try:
            yield
        except RuntimeError as error:
            if self.workers == 1 or (beside_user_code and not _is_of_a_peer(error)):
                raise
            os.write(2, f"worker {self.rank}: another worker is gone ({str(error).splitlines()[0][:200]})\n".encode())
            time.sleep(_PATIENCE)  # the launcher ends this process as soon as it has found the one that is gone
            os._exit(LOST_PEER)


def _is_of_a_peer(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or bool(_PEER.search(str(error)))


def count_cores() -> int:
    """The cores of this process: those that numerical libraries were told of, at most those it may run on."""
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(may, int(told)) if told.isdigit() and int(told) else may


def limit_of(platform: str) -> int:
    """The most workers of one machine: a card each, or a core each."""
    if platform == "gpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return count_cores()


def loopback() -> str:
    """The network interface that workers of one machine talk over."""
    names = [name for _, name in socket.if_nameindex()]
    for name in ("lo", "lo0"):
        if name in names:
            return name
    raise KubeError("this machine has no loopback interface", hint="name one: GLOO_SOCKET_IFNAME=eth0")
