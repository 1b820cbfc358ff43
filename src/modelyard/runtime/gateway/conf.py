"""gunicorn's configuration, for `python -m modelyard.runtime.gateway`, which the supervisor starts."""

import math
import os
import signal
import threading
from typing import Any

from modelyard.runtime.cores import count_cores
from modelyard.runtime.daemon.families import end_family
from modelyard.runtime.daemon.memory import settle_memory
from modelyard.runtime.daemon.settings import load_settings
from modelyard.runtime.gateway.framing import MAX_HEAD

_settings = load_settings(os.environ)

bind = [f"fd://{number}" for number in os.environ["MODELYARD_LISTEN_FD"].split(",")]
wsgi_app = "modelyard.runtime.gateway.app:load_app()"
worker_class = "modelyard.runtime.gateway.server.EventWorker"
workers = _settings.gateway_workers or max(1, count_cores() // 4)
threads = _settings.gateway_threads
sendfile = False
graceful_timeout = math.ceil(_settings.stop_timeout)
control_socket_disable = True
forwarder_headers = ""  # a SCRIPT_NAME that a proxy lets through would change what path is asked for
limit_request_line = 8190  # the most that gunicorn takes
limit_request_fields = MAX_HEAD  # whatever fits into a head, as for the requests that do not come here
limit_request_field_size = MAX_HEAD
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stdout": {"()": "modelyard.runtime.daemon.logs.make_handler"}},
    "root": {"handlers": ["stdout"], "level": "INFO"},
    "loggers": {
        "gunicorn.error": {"level": "WARNING", "propagate": True},
        "gunicorn.access": {"level": "WARNING", "propagate": True},
    },
}


def when_ready(server: Any) -> None:
    """Follow the supervisor: when it is gone, stop in good order."""
    settle_memory()
    threading.Thread(target=_stop_at_end, args=(int(os.environ["MODELYARD_LIFELINE_FD"]),), daemon=True).start()


def _stop_at_end(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    end_family(os.environ["MODELYARD_CLAN"])  # the workers' own children: the system has killed those only
    os.kill(os.getpid(), signal.SIGTERM)
