"""A model's process: loads the model, says that it is ready, answers requests until the supervisor lets go of it.

Run as `<environment's python> -m modelyard.runtime.worker <settings as JSON>` in the application root. It needs the
standard library only, of any Python from 3.9 on, and starts in milliseconds. What it prints goes to the log.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.runtime.beside import prefer_modules_beside
from modelyard.runtime.daemon.channels import DUMP_SIGNAL
from modelyard.runtime.daemon.counters import WorkerCounts, counts_path
from modelyard.runtime.daemon.families import end_with_parent
from modelyard.runtime.daemon.memory import settle_memory
from modelyard.runtime.daemon.schemas import infer_schema, limit_schema
from modelyard.runtime.daemon.taken import Taken, own_socket
from modelyard.runtime.failures import format_trace
from modelyard.runtime.message import Message
from modelyard.runtime.primitives import (
    SIG_BLOCK,
    SIG_DFL,
    SIG_UNBLOCK,
    SIGTERM,
    Socket,
    dump_json,
    end_process_after,
    ensure_streams,
    getpid,
    load_json,
    monotonic,
    pthread_sigmask,
    rename,
    set_handler,
    unlink,
    urandom,
    write_log,
)
from modelyard.runtime.values import open_envelope, to_json_bytes
from modelyard.runtime.worker.answering import answer_job, parse_body
from modelyard.runtime.worker.batching import UnsafeError, learn
from modelyard.runtime.worker.clock import Clock
from modelyard.runtime.worker.inbox import Inbox
from modelyard.runtime.worker.loading import Function, describe_failure, following_files, load_functions
from modelyard.runtime.worker.modules import list_modules
from modelyard.runtime.worker.serving import Route, Server

LOAD_FAILED = 3
_LAST_WORDS = 2.0


def main(settings: Mapping[str, Any]) -> int:
    """Load the model that `settings` names, then serve it; return the exit code.

    `routes` is a list of [route, module, function], `path` a folder to append to sys.path (or null), `socket` the path
    to listen at, `queue` and `max_body` are bounds. `instances` is the file of the test instances (or null), `batch`
    has `size` and `wait` by route, and the `tolerance`; of the routes in `must_answer`, one that fails them ends it.
    `timeout` has the seconds that a call may take, by route. Unless it is `in_place`, the supervisor gives the socket
    its place.
    Two descriptors are inherited: `control` (a socket that takes lines of JSON; its end is the order to stop) and
    `clock` (a file that shows when the running call has to end). One that `is_first` tells what it has imported.
    """
    end_with_parent()
    root = Path.cwd()
    _settle_in(settings, root)
    control = Socket(fileno=settings["control"])
    control.set_inheritable(False)
    counts = WorkerCounts(counts_path(Path(settings["socket"])), [route for route, _, _ in settings["routes"]])
    inbox = Inbox(control, limit=settings["queue"], max_body=settings["max_body"], show_waiting=counts.show_waiting)
    inbox.start()
    started = monotonic()
    clock = Clock(settings["clock"])
    try:
        with following_files(Path("models")) as files:
            functions = load_functions(settings["routes"])
            routes = {name: make_route(name, function, settings, clock, root) for name, function in functions.items()}
    except BaseException as error:
        write_log(format_trace(error))
        report(control, state="failed", reason=describe_failure(error, root))
        return LOAD_FAILED
    settle_memory()
    ensure_streams()
    taken = Taken(Path(settings["socket"]), most=max(route.size for route in routes.values()))
    inbox.open(listen(settings["socket"], in_place=settings.get("in_place", True)))
    seconds = round(monotonic() - started, 3)
    report(
        control,
        state="ready",
        modules=list_modules() if settings.get("is_first") else [],
        seconds=seconds,
        files=files,
        answered=[name for name, route in routes.items() if not route.fails],
        unbatched={name: route.unbatched for name, route in routes.items()},
        answers={name: route.answer_schema for name, route in routes.items()},
    )
    publish_metrics(functions, Path(settings["socket"]))

    def tell_unbatched(route: str, reason: str) -> None:
        report(control, state="unbatched", route=route, reason=reason)

    Server(inbox, routes, clock.running, counts.count_call, taken.show, tell_unbatched).run()
    end_process_after(_LAST_WORDS)
    return 0


def publish_metrics(functions: Mapping[str, Function], path: Path) -> None:
    """Have Seldon style classes count from now on, where the gateway looks."""
    component = sys.modules.get("modelyard.runtime.worker.seldon_component")  # imported where there is a class
    for route, function in functions.items():
        if component is not None and isinstance(function, component.Component):
            from modelyard.runtime.daemon.seldon_metrics import metrics_path
            from modelyard.runtime.worker.seldon_metrics import describe_unit

            labels = {"route": route, **describe_unit(os.environ)}
            function.metrics.publish(metrics_path(path, getpid(), route), labels)


def make_route(name: str, function: Function, settings: Mapping[str, Any], clock: Clock, root: Path) -> Route:
    """Warm the function up with the test instances, and learn whether its requests may share calls."""

    def call(payload: Any, **about: str) -> Any:
        return load_json(to_json_bytes(function(Message(payload, **about))))

    def call_timed(payload: Any) -> Any:
        """Call as for one request: an answer that tells which can't be shared."""
        with clock.running(float("inf")):  # the time that loading may take has begun already
            number = urandom(16).hex()
            return call(payload, request_id=number, traceparent=f"00-{number}-{number[:16]}-00")

    limits = {"size": {}, "wait": {}, "tolerance": 0.0, **settings.get("batch", {})}
    size, timeout = limits["size"].get(name, 1), settings.get("timeout", {}).get(name, float("inf"))
    wait = limits["wait"].get(name, 0.0)
    route = Route(lambda job: answer_job(function, job), call=call, size=size, wait=wait, timeout=timeout)
    try:
        payload = read_instances(settings.get("instances"))
        route.answer_schema = limit_schema(infer_schema(call_timed(payload)))
        route.plan = learn(call_timed, payload, size=size, tolerance=limits["tolerance"])
    except UnsafeError as error:
        route.unbatched = str(error)
    except BaseException as error:
        if name in settings.get("must_answer", ()):
            raise
        route.fails = True
        route.unbatched = f"the test instances fail: {describe_failure(error, root)}"
    return route


def read_instances(path: str | None) -> Any:
    """The payload of the test instances' file; raise UnsafeError where there is none to read."""
    if path is None:
        raise UnsafeError("the model has no test instances")
    try:
        return open_envelope(parse_body(Path(path).read_bytes()))[0]
    except (OSError, ValueError, RecursionError) as error:
        raise UnsafeError(f"the test instances cannot be read: {error}") from None


def listen(path: str, *, in_place: bool = True) -> Socket:
    """Listen at a Unix socket of this process's own name; `in_place`, take the place of what listened at `path`."""
    own = own_socket(Path(path), getpid())
    with suppress(FileNotFoundError):
        unlink(own)
    listener = Socket(socket.AF_UNIX)
    listener.bind(str(own))
    listener.listen(1024)
    if in_place:
        rename(own, path)
    return listener


def report(control: socket.socket, **news: Any) -> None:
    """Tell the supervisor; one that has gone is no error."""
    with suppress(OSError):
        control.sendall(dump_json(news).encode() + b"\n")


def _settle_in(settings: Mapping[str, Any], root: Path) -> None:
    """Put the application's root first on sys.path, and leave stopping to the supervisor."""
    set_handler(SIGTERM, lambda *_: None)  # systemd sends it to every process at once
    _let_forks_end()
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=False)
    os.environ.pop("PYTHONSAFEPATH", None)
    sys.path[:] = [str(root), *(entry for entry in sys.path if entry not in ("", str(root)))]
    if settings["path"]:
        sys.path.append(str(root / settings["path"]))
    prefer_modules_beside(root / (settings["path"] or ""), root)
    sys.argv = [sys.argv[0]]


def _let_forks_end() -> None:
    """Have SIGTERM end the processes that the model forks, however early it comes: multiprocessing's Pool needs it."""

    def end_by_it() -> None:
        set_handler(SIGTERM, SIG_DFL)
        pthread_sigmask(SIG_UNBLOCK, {SIGTERM})

    os.register_at_fork(
        before=lambda: pthread_sigmask(SIG_BLOCK, {SIGTERM}),
        after_in_parent=lambda: pthread_sigmask(SIG_UNBLOCK, {SIGTERM}),
        after_in_child=end_by_it,
    )
