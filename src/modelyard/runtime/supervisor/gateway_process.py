"""The gateway's process: gunicorn with the Flask app."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from modelyard.runtime.daemon.site import Site
from modelyard.runtime.supervisor.processes import NEVER, STEADY, Process

# By these the gateway's own programs would listen elsewhere, run another number of processes or say too much, against
# the daemon's settings. They still reach the models' workers.
_SERVER_SETTINGS = re.compile(r"(GUNICORN_|FLASK_|WERKZEUG_).*|WEB_CONCURRENCY|PYTHON(INSPECT|WARNINGS|STARTUP)")
log = logging.getLogger(__name__)


def without_server_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that the gateway is started with: none that configures the programs it is made of."""
    return {name: value for name, value in environ.items() if not _SERVER_SETTINGS.fullmatch(name)}


class GatewayProcess(Process):
    """gunicorn with the Flask app; `lifeline` is its sign that the supervisor lives."""

    def __init__(self, site: Site, listeners: Sequence[socket.socket]) -> None:
        super().__init__()
        self._site = site
        self._listeners = listeners
        self._lifeline: int | None = None
        self._started = NEVER
        self.has_served = False
        """Whether it has had the time to boot, at its last start or before."""

    @property
    def served_for(self) -> float:
        """Seconds since it was started, once it has had the time to boot; 0 before."""
        age = time.monotonic() - self._started
        return age if age > STEADY else 0.0

    def start(self) -> None:
        """Start gunicorn on the listening sockets."""
        if self._started == NEVER and (kept := sorted(filter(_SERVER_SETTINGS.fullmatch, self._site.environ))):
            log.warning("the gateway does not get %s: see GATEWAY_WORKERS, HOST, PORT and others", ", ".join(kept))
        read_end, self._lifeline = os.pipe()
        numbers = [listener.fileno() for listener in self._listeners]
        environ = without_server_settings(
            self._site.child_environ(
                APP_ROOT=str(self._site.root),
                MODELYARD_RUN_DIR=str(self._site.run_dir),
                MODELYARD_LISTEN_FD=",".join(map(str, numbers)),
                MODELYARD_LIFELINE_FD=str(read_end),
                MODELYARD_CLAN=self._site.clan,
            )
        )
        try:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "modelyard.runtime.gateway"],
                stdin=subprocess.DEVNULL,
                cwd=self._site.run_dir,
                env=environ,
                pass_fds=(*numbers, read_end),
                process_group=0,
            )
        finally:
            os.close(read_end)
        self._started = time.monotonic()

    def take_exit(self) -> int | None:
        """The exit code, once."""
        code = super().take_exit()
        self.has_served = self.has_served or self.served_for > 0.0
        if code is not None and self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        return code

    def stop(self) -> None:
        """Tell gunicorn to finish what it accepted and to end."""
        if self.popen is not None:
            self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End gunicorn and its workers."""
        if self.popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
