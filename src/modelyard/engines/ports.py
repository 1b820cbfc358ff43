"""Ports of this machine: whether one is free, and who has it."""

import errno
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from modelyard.engines.protocols import Container
from modelyard.errors import EngineError, PortTakenError


def choose_port(host: str, port: int) -> int:
    """Return `port` when a server could listen on it (a free one for 0); raise PortTakenError where one does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and socket.has_dualstack_ipv6():
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # as the daemon listens: :: is IPv4's too
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise refuse_port(host, port, describe_listener(port)) from None
            raise EngineError(
                f"nothing can listen on {host}{f':{port}' if port else ''}: {error.strerror}", hint=_hint(error)
            ) from None
        return int(probe.getsockname()[1])


def claim_port(
    host: str, port: int, containers: Iterable[Container], *, leaving: str | None, is_local: bool = True
) -> int:
    """Return `port` when a container could be published on it, as if the one of the name `leaving` had ended.

    Raises PortTakenError where another container has it, or a process of this machine where that is the engine's too.
    """
    owners = [each.name for each in containers if port and each.status == "running" and each.port == port]
    for name in owners:
        if name != leaving:
            raise refuse_port(host, port, f"container {name}")
    if not is_local:
        return port
    chosen = choose_port(host, 0 if owners else port)  # of one that is left, the address can be tried at another port
    return port if owners else chosen


def refuse_port(host: str, port: int, owner: str | None) -> PortTakenError:
    """Make the error of a taken port."""
    by = f" by {owner}" if owner else ""
    return PortTakenError(
        f"port {port} on {host} is taken{by}", hint="stop that, or publish another port (--port, PORT= with make)"
    )


def describe_listener(port: int) -> str | None:
    """The process that listens on a port, where Linux lets this user see it."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        try:
            if any(os.readlink(link) in sockets for link in (process / "fd").iterdir()):  # noqa: PTH115
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                return f"process {process.name} ({command[:80]})"
        except OSError:
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _hint(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "ports below 1024 are root's: publish a higher one (--port, PORT= with make)"
    return "name an address of this machine: HOST=127.0.0.1, or 0.0.0.0 for all"
