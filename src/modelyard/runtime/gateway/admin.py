"""What only an operator may ask, with the token of `admin` (see modelyard.runtime.tokens)."""

import os
import signal

from flask import Flask, Response, jsonify

from modelyard.runtime.gateway.fleet import Fleet
from modelyard.runtime.gateway.gate import Gate
from modelyard.runtime.gateway.problems import Problem


def serve_admin(app: Flask, fleet: Fleet, gate: Gate, *, supervisor: int | None) -> None:
    """Add the admin endpoints to `app`; `supervisor` is the process id of who carries them out."""

    @app.post("/admin/reload")
    def reload() -> tuple[Response, int]:
        gate.admit_admin()
        if supervisor is None:
            raise Problem(503, "there is no supervisor that could load the models again", retry_after=10)
        os.kill(supervisor, signal.SIGHUP)
        return jsonify(reloading=[model.name for model in fleet.application.models], progress="/routes"), 202
