"""`python -m modelyard.runtime.gateway`: gunicorn, with the configuration in `conf`."""

import sys

from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]

sys.argv[1:] = ["--config", "python:modelyard.runtime.gateway.conf"]
run(prog="gunicorn")
