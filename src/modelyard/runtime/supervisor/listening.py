"""The address that the daemon listens at."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.errors import ModelyardError


class ListenError(ModelyardError):
    """The daemon cannot listen at the address it was given."""

    exit_code = 7


@contextmanager
def listening(settings: Settings) -> Iterator[list[socket.socket]]:
    """Listen at PORT, and where Seldon asks for metrics."""
    ports = [settings.port]
    if settings.metrics_port not in (None, settings.port):
        ports.append(settings.metrics_port)
    with ExitStack() as stack:
        yield [stack.enter_context(bind(replace(settings, port=port))) for port in ports]


def bind(settings: Settings) -> socket.socket:
    """Listen at HOST and PORT; raise ListenError that says why it can't be done."""
    address = (settings.host, settings.port)
    is_ipv6 = ":" in settings.host
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    try:
        # :: is every address, those of IPv4 as well
        dual = is_ipv6 and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=2048, dualstack_ipv6=dual)
    except OSError as error:
        # Python adds the address to what the system says; a name that does not resolve has a number below 0.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ListenError(
            f"cannot listen on {settings.host}:{settings.port}: {reason}",
            hint="stop what uses the port, or set PORT (and HOST) to what is free and allowed",
        ) from None
