"""What only an operator may ask, with the token of `admin` (see modelyard.runtime.daemon.tokens)."""

from pathlib import Path

from flask import Flask, Response, jsonify

from modelyard.runtime.daemon.orders import Deed, give_order
from modelyard.runtime.gateway.fleet import Fleet
from modelyard.runtime.gateway.gate import Gate
from modelyard.runtime.gateway.problems import Problem


class Operator:
    """Whoever the request at hand comes from, once its token has been checked: hands orders to the supervisor."""

    def __init__(self, gate: Gate, run_dir: Path, *, patience: float) -> None:
        """An order is given up after `patience` seconds."""
        self._gate = gate
        self._run_dir = run_dir
        self._patience = patience

    @property
    def exists(self) -> bool:
        """Tell whether anybody may give orders here."""
        return self._gate.has_admin

    def admit(self) -> None:
        """Let the request at hand in; raise Problem, 401 or 403, where its token does not open this."""
        self._gate.admit_admin()

    def order(self, do: Deed, model: str) -> None:
        """Have it done, and wait for that; raise Problem: 401 or 403, 409 with the reason of a rollback, 503."""
        if (reason := self._give(do, model, self._patience)) is not None:
            raise Problem(409, f"{model}: {reason}")

    def reload_soon(self, models: list[str]) -> None:
        """Have models loaded again, and wait for none."""
        for model in models:
            self._give("reload", model, None)

    def _give(self, do: Deed, model: str, patience: float | None) -> str | None:
        self.admit()
        try:
            return give_order(self._run_dir, do, model, timeout=patience)
        except OSError as error:
            raise Problem(503, f"there is no supervisor that could {do} {model}: {error}", retry_after=10) from None


def serve_admin(app: Flask, fleet: Fleet, operator: Operator) -> None:
    """Add the admin endpoints to `app`."""

    @app.post("/admin/reload")
    def reload_all() -> tuple[Response, int]:
        models = [model.name for model in fleet.application.models]
        operator.reload_soon(models)
        return jsonify(reloading=models, progress="/routes"), 202

    @app.post("/admin/reload/<path:route>")
    def reload_one(route: str) -> Response:
        if route not in fleet.routes:
            raise Problem(404, f"no route {route}", routes=list(fleet.routes))
        model = fleet.routes[route].name
        operator.order("reload", model)
        return jsonify(reloaded=model)
