"""What the gateway knows of the models: which one answers a route, how it is, what its test instances are."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelyard.runtime.application import Application, Model
from modelyard.runtime.daemon.orders import accuse
from modelyard.runtime.daemon.settings import Settings, count_workers
from modelyard.runtime.daemon.status import ModelStatus, read_status, socket_path
from modelyard.runtime.daemon.wire import Frame
from modelyard.runtime.gateway.client import (
    ClientGoneError,
    NoAnswerError,
    NonsenseAnswerError,
    NotConnectedError,
    NotTakenError,
    WorkerClient,
)
from modelyard.runtime.gateway.problems import CLIENT_GONE, IN_THE_LOG, Problem

_MAX_EXAMPLE = 256 * 1024
_LOOK_AGAIN = 0.05


class Fleet:
    """The application's models behind their sockets."""

    def __init__(self, application: Application, *, root: Path, run_dir: Path, settings: Settings) -> None:
        self.application = application
        self._root = root
        self._run_dir = run_dir
        self._settings = settings
        self._models = {route: model for model in application.models for route in model.routes}
        self._clients = {name: WorkerClient(*paths) for name, paths in self.worker_sockets().items()}

    @property
    def routes(self) -> Mapping[str, Model]:
        """The model behind each route, in the order of the application."""
        return self._models

    def ask(
        self, route: str, body: bytes, about: Mapping[str, str], *, is_gone: Callable[[], bool], **header: str
    ) -> Frame:
        """Have the route's worker answer; raise Problem with a true status where it does not.

        `about` describes the request, `header` says more for a protocol; where its client `is_gone`, the worker is told
        that nobody waits. An answer with a body is one, whatever its status.
        """
        name = self._models[route].name
        client = self._clients[name]
        deadline = time.monotonic() + self._settings.request_timeout[route]
        waits = False
        while (left := deadline - time.monotonic()) > 0.0 and not is_gone():
            try:
                frame = client.call({**about, "route": route, **header}, body, timeout=left, is_gone=is_gone)
                return self.judge(route, frame)
            except ClientGoneError:
                break
            except NotTakenError:
                waits = True
            except (NotConnectedError, NoAnswerError, TimeoutError) as error:
                if isinstance(error, NonsenseAnswerError):
                    self.accuse(name, error.pid, str(error))
                if not isinstance(error, NotConnectedError) or not waits or not self.is_coming_back(name):
                    return self.judge(route, error)
            time.sleep(_LOOK_AGAIN)
        if is_gone():
            raise Problem(CLIENT_GONE, "the client has gone")
        return self.judge(route, TimeoutError())

    def accuse(self, name: str, pid: str, why: str) -> None:
        """Have the supervisor end a worker of a model that answers nonsense."""
        if pid.isdecimal():
            accuse(self._run_dir, name, int(pid), f"it told the gateway {why}")

    def is_coming_back(self, name: str) -> bool:
        """Tell whether a model that has no worker is about to have one."""
        return self._status(name).state in ("ready", "loading", "restarting")

    def judge(self, route: str, outcome: Frame | Exception) -> Frame:
        """Return an answer; raise the Problem that stands for another outcome of asking a worker."""
        model = self._models[route]
        if isinstance(outcome, Frame):
            if outcome.header["status"] == 200 or outcome.body:
                return outcome
            raise _describe_refusal(model, outcome)
        if isinstance(outcome, NotConnectedError):
            raise self._describe_absence(model)
        if isinstance(outcome, TimeoutError):
            raise Problem(504, f"{model.name} did not answer within {self._settings.request_timeout[route]:g} s")
        pid = outcome.pid if isinstance(outcome, NoAnswerError) else None
        raise Problem(502, f"the process of {model.name} ended before it answered; {IN_THE_LOG}", pid=pid)

    def worker_sockets(self) -> dict[str, list[Path]]:
        """By model, where its workers listen."""
        models = self.application.models
        counts = [count_workers(self._settings, model.routes, models=len(models)) for model in models]
        return {
            model.name: [socket_path(self._run_dir, index, replica) for replica in range(counts[index])]
            for index, model in enumerate(models)
        }

    def sweep(self) -> None:
        """Close the kept connections to workers that are about to end."""
        for client in self._clients.values():
            client.sweep()

    def close(self) -> None:
        """Close the connections to the workers."""
        for client in self._clients.values():
            client.close()

    def statuses(self) -> list[ModelStatus]:
        """How each model is, in the order of the application."""
        known = read_status(self._run_dir)
        return [known.get(model.name, ModelStatus(name=model.name)) for model in self.application.models]

    def is_ready(self) -> bool:
        """Tell whether all models answer, or any does where READY=any; an unloaded one is not missed."""
        states = [status.state == "ready" for status in self.statuses() if status.state != "unloaded"]
        return any(states) if self._settings.ready == "any" else all(states)

    def describe_routes(self) -> list[dict[str, Any]]:
        """One object a route: its model and how that is."""
        statuses = {status.name: status for status in self.statuses()}
        return [
            {
                "route": route,
                "model": model.name,
                "environment": model.environment,
                "state": statuses[model.name].state,
                "reason": statuses[model.name].reason,
                "restarts": statuses[model.name].restarts,
                "load_seconds": statuses[model.name].load_seconds,
                "load_seconds_left": _count_left(statuses[model.name]),
                "turn": statuses[model.name].turn,
                "workers": statuses[model.name].workers,
                "reloads": statuses[model.name].reloads,
                "reload_failures": statuses[model.name].reload_failures,
                "reload_error": statuses[model.name].reload_error,
                "batching": _describe_batching(statuses[model.name], route),
            }
            for route, model in self._models.items()
        ]

    def example_text(self, route: str) -> str | None:
        """The test instances of the route's model as their file has them; None where there are none to show."""
        instances = self._models[route].instances
        if instances is None:
            return None
        path = self._root / instances
        try:
            return path.read_text(encoding="utf-8") if path.stat().st_size <= _MAX_EXAMPLE else None
        except (OSError, ValueError):
            return None

    def example(self, route: str) -> Any:
        """The same, decoded; None where the file is no JSON."""
        try:
            return json.loads(self.example_text(route) or "null")
        except ValueError:
            return None

    def _describe_absence(self, model: Model) -> Problem:
        status = self._status(model.name)
        if status.state == "failed":
            return Problem(503, f"{model.name} could not be loaded: {status.reason}", retry_after=10, cause="not_ready")
        if status.state == "unloaded":
            return Problem(503, f"{model.name} is not loaded: {status.reason}", retry_after=10, cause="not_ready")
        if status.state == "loading" and status.turn is not None:
            return Problem(
                503,
                f"{model.name} waits for its turn to load, as number {status.turn}",
                retry_after=1,
                cause="not_ready",
            )
        if status.state == "loading":
            return Problem(503, f"{model.name} is loading", retry_after=1, cause="not_ready")
        why = status.reason or "its process ended"
        return Problem(503, f"{model.name} is started again: {why}", retry_after=1, cause="not_ready")

    def _status(self, name: str) -> ModelStatus:
        return next(status for status in self.statuses() if status.name == name)


def _count_left(status: ModelStatus) -> float | None:
    """The seconds that loading may still take; None while the model does not load."""
    return None if status.load_by is None else round(max(0.0, status.load_by - time.monotonic()), 1)


def _describe_batching(status: ModelStatus, route: str) -> str | None:
    """`on`, or why not; None while the model has not loaded."""
    if route not in status.unbatched:
        return None
    reason = status.unbatched[route]
    return "on" if reason is None else f"off: {reason}"


def _describe_refusal(model: Model, frame: Frame) -> Problem:
    status = frame.header["status"]
    detail = frame.header.get("detail") or f"the code of {model.name} failed; {IN_THE_LOG}"
    return Problem(status, detail, retry_after=frame.header.get("retry_after"), trace=frame.header.get("log"))
