"""The daemon's first process: binds the socket, starts the gateway and the workers, keeps them running, stops them.

Run as `<gateway environment's python> -m modelyard.runtime.supervisor` in the application root. Its settings are
environment variables (modelyard.runtime.daemon.settings), and:

- MODELYARD_ENVIRONMENTS: the folder with a virtual environment for each name (/opt/modelyard/environments)
- MODELYARD_RUN_DIR: the folder for sockets and status.json (a new one below the temporary folder)

SIGHUP loads every model again, beside the one that serves. SIGTERM and SIGINT stop it: no connection is accepted any
more, requests that were are answered, then it exits with 0. Should it be killed, the system kills its workers, and the
gateway whatever these have left, before it stops as well.
"""

import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from modelyard.runtime.application import Application, load_application, load_routes
from modelyard.runtime.cores import count_cores, library_variables
from modelyard.runtime.daemon.families import adopt_orphans, end_family
from modelyard.runtime.daemon.logs import configure_logging
from modelyard.runtime.daemon.settings import (
    Settings,
    count_workers,
    find_unknown_routes,
    follow_operator,
    load_settings,
)
from modelyard.runtime.daemon.site import Site, check_environments, find_environments_folder
from modelyard.runtime.daemon.stamps import take_stamp
from modelyard.runtime.daemon.status import STATUS_FILE, ModelStatus, write_status
from modelyard.runtime.daemon.tokens import keep_tokens, load_tokens
from modelyard.runtime.errors import ModelyardError
from modelyard.runtime.nearest import describe_choices
from modelyard.runtime.supervisor.ear import Orders, Reply
from modelyard.runtime.supervisor.forks import ForkServer
from modelyard.runtime.supervisor.gateway_process import GatewayProcess
from modelyard.runtime.supervisor.listening import listening
from modelyard.runtime.supervisor.model_process import ModelProcess
from modelyard.runtime.supervisor.model_workers import ModelWorkers
from modelyard.runtime.supervisor.processes import NEVER, Process, describe_exit
from modelyard.runtime.supervisor.run_dir import open_run_dir

log = logging.getLogger(__name__)

_TICK = 0.5


class GatewayError(ModelyardError):
    """The gateway cannot start at all."""


def main(environ: Mapping[str, str]) -> int:
    """Run the daemon until it is told to stop; return the exit code."""
    try:
        environ = follow_operator(environ)
        settings = load_settings(environ)
        configure_logging(settings.log)
        root = Path.cwd()
        application = load_application(root, environ)
        routes = [route for model in application.models for route in model.routes]
        for variable, route in find_unknown_routes(settings, routes):
            log.warning(
                "%s names %r, which is no route here: there are %s", variable, route, describe_choices(route, routes)
            )
        tokens = load_tokens(settings.tokens, routes) if settings.tokens is not None else None
        with open_run_dir(environ.get("MODELYARD_RUN_DIR")) as run_dir, listening(settings) as listeners:
            if tokens is not None:
                keep_tokens(tokens, run_dir)
            site = Site(
                root=root,
                run_dir=run_dir,
                environments=find_environments_folder(environ),
                settings=settings,
                environ={**environ, **library_variables(environ, workers=count_all_workers(settings, application))},
            )
            check_environments(site, application)
            Supervisor(site, application, listeners).run()
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


class Supervisor:
    """Starts, watches and stops the gateway and one worker a model, in one loop."""

    def __init__(self, site: Site, application: Application, listeners: Sequence[socket.socket]) -> None:
        routes = {route.name: route for route in load_routes(site.environ)}
        self._site = site
        self._listeners = listeners
        self._selector = selectors.DefaultSelector()
        self._gateway = GatewayProcess(site, listeners)
        self._orders = Orders(site.run_dir, self._selector, self._obey)
        self._forks = {
            name: ForkServer(site, name, self._selector)
            for name in find_shared_environments(site.settings, application)
        }
        self._models = [
            ModelWorkers(
                site,
                model,
                [routes[name] for name in model.routes],
                index,
                models=len(application.models),
                selector=self._selector,
                forks=self._forks.get(model.environment),
            )
            for index, model in enumerate(application.models)
        ]
        self._statuses: list[ModelStatus] = []
        self._status_stamp: object = None
        self._is_disk_told = False
        self._replies: deque[Callable[[], None]] = deque()
        self._stop_by = NEVER
        self._most_loading = site.settings.load_at_once or count_cores()
        self._released = False

    def run(self) -> None:
        """Run until a signal asks to stop and everything has ended."""
        adopt_orphans()
        with self._selector, self._signals():
            for listener in self._listeners:
                host, port = listener.getsockname()[:2]
                log.info("listening on http://%s:%s", f"[{host}]" if ":" in host else host, port)
            try:
                while not self._is_over:
                    self._start_due()
                    self._write_status()
                    for key, _ in self._selector.select(self._wait()):
                        key.data()
                    self._take_exits()
                    self._watch()
            finally:
                self._orders.close()
                self._kill_all()
        log.info("stopped")

    @property
    def _is_stopping(self) -> bool:
        return self._stop_by != NEVER

    @property
    def _is_over(self) -> bool:
        running = self._gateway.is_running or any(process.is_running for process in self._workers)
        return self._is_stopping and not running

    @property
    def _workers(self) -> Iterator[ModelProcess]:
        for model in self._models:
            yield from model.processes

    @property
    def _children(self) -> list[Process]:
        return [self._gateway, *self._forks.values(), *self._workers]

    def _start_due(self) -> None:
        now = time.monotonic()
        if self._is_stopping:
            return
        due = [one for one in self._children if not one.is_running and now >= one.start_at and one.may_start]
        for process in due:
            if not isinstance(process, ModelProcess) or not process.takes_turns:
                self._start(process)
        self._take_turns([one for one in due if isinstance(one, ModelProcess) and one.takes_turns])

    def _take_turns(self, waiting: list[ModelProcess]) -> None:
        """Start as many that load as may at a time: those first that have not failed to; show the others' places."""
        free = self._most_loading - sum(process.is_loading for process in self._workers)
        queue = deque(sorted(waiting, key=lambda process: process.status.state == "failed"))
        limit = self._site.settings.load_timeout
        while queue and free > 0:
            process = queue.popleft()
            self._start(process)
            free -= 1
            then = f"; then {', '.join(one.status.name for one in queue)}" if queue else ""
            log.info("%s: loads, within %g s (LOAD_TIMEOUT)%s", process.status.name, limit, then)
        for place, process in enumerate(queue, 1):
            process.wait_for_turn(place)

    def _start(self, process: Process) -> None:
        try:
            process.start()
        except OSError as error:
            log.error("a process could not be started: %s", error)
            process.plan_restart(served_for=0.0)

    def _wait(self) -> float:
        """Seconds until something has to be done even if nothing happens."""
        timeout = self._site.settings.request_timeout
        limit = min([timeout.default, *timeout.by_route.values()])
        waiting = [process for process in self._children if not process.is_running]
        due = [process.start_at for process in waiting if process.may_start and not _waits_for_turn(process)]
        soonest = min([*due, self._stop_by]) - time.monotonic()
        return max(0.0, min(soonest, _TICK, limit / 10))

    def _take_exits(self) -> None:
        if (code := self._gateway.take_exit()) is not None and not self._is_stopping:
            if code > 0 and not self._gateway.has_served:
                raise GatewayError("the gateway cannot start", hint="its own message stands above this line")
            log.error("the gateway ended: %s; starting it again", describe_exit(code))
            self._gateway.plan_restart(served_for=self._gateway.served_for)
        for server in self._forks.values():
            if (code := server.take_exit()) and not self._is_stopping:
                log.error("the fork server ended: %s; starting it again", describe_exit(code))
        for model in self._models:
            for process in model.processes:
                if (code := process.take_exit()) is not None:
                    model.take_exit(process, code, is_stopping=self._is_stopping)
        _reap_orphans({process.popen.pid for process in self._children if process.popen})

    def _watch(self) -> None:
        now = time.monotonic()
        for process in self._workers:
            process.end_overdue(now)
            process.look_for_work(now)
        if not self._is_stopping:
            for model in self._models:
                model.tick(now)
            return
        if not self._gateway.is_running and not self._released:
            self._released = True
            for process in self._workers:
                process.release()
        if now >= self._stop_by:
            self._kill_all()

    def _obey(self, order: Mapping[str, Any], reply: Reply) -> None:
        name = order["model"]
        model = next((model for model in self._models if model.name == name), None)
        if self._is_stopping or model is None:
            reply("the daemon is stopping" if self._is_stopping else f"there is no model {name}")
        elif order["do"] == "end":
            model.end(order["pid"], order["why"])
            reply(None)
        else:
            model.obey(order["do"], lambda error: self._replies.append(partial(reply, error)))

    def _stop(self) -> None:
        if self._is_stopping:
            self._stop_by = time.monotonic()
            return
        log.info("stopping: finishing the requests that were accepted")
        self._stop_by = time.monotonic() + self._site.settings.stop_timeout
        for listener in self._listeners:
            listener.close()
        for model in self._models:
            model.abandon_reload("the daemon is stopping")
        self._gateway.stop()

    def _kill_all(self) -> None:
        self._gateway.kill()
        for process in self._workers:
            process.kill()
        for server in self._forks.values():
            server.kill()
        end_family(self._site.clan)

    def _write_status(self) -> None:
        """Show how the models are, and only then answer who asked for that; a full disk is told, and tried again."""
        statuses = [model.status for model in self._models]
        place = self._site.run_dir / STATUS_FILE
        if statuses != self._statuses or take_stamp(str(place)) != self._status_stamp:
            try:
                write_status(self._site.run_dir, statuses)
                self._statuses, self._is_disk_told = statuses, False
                self._status_stamp = take_stamp(str(place))
            except OSError as error:
                if not self._is_disk_told:
                    log.error("/routes stays as it was until this is mended: %s: %s", self._site.run_dir, error)
                self._is_disk_told = True
        while self._replies:
            self._replies.popleft()()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals wake the loop while inside."""
        receiver, sender = socket.socketpair()
        receiver.setblocking(False)
        sender.setblocking(False)
        with receiver, sender:
            self._selector.register(receiver, selectors.EVENT_READ, lambda: self._take_signals(receiver))
            handlers = {number: signal.signal(number, _do_nothing) for number in _SIGNALS}
            previous = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(previous)
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _take_signals(self, receiver: socket.socket) -> None:
        for number in receiver.recv(4096):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
            elif number == signal.SIGHUP and not self._is_stopping:
                for model in self._models:
                    model.reload("asked to")


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)


def count_all_workers(settings: Settings, application: Application) -> int:
    """The workers of all models together."""
    models = application.models
    return sum(count_workers(settings, model.routes, models=len(models)) for model in models)


def find_shared_environments(settings: Settings, application: Application) -> set[str]:
    """The environments that several workers run in, which are forked then; with PRELOAD=always, every one.

    Not where there is a graphics card, nor on macOS: what libraries begin at import does not survive a fork there.
    """
    models = application.models
    workers: Counter[str] = Counter()
    for model in models:
        workers[model.environment] += count_workers(settings, model.routes, models=len(models))
    if settings.preload == "0" or sys.platform != "linux" or Path("/dev/nvidia0").exists():
        return set()
    return {name for name, count in workers.items() if count > 1 or settings.preload == "always"}


def _waits_for_turn(process: Process) -> bool:
    return isinstance(process, ModelProcess) and process.status.turn is not None


def _reap_orphans(known: set[int]) -> None:
    """Collect processes that were left to us, as happens to PID 1 of a container."""
    with suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid not in known:
            os.waitpid(found.si_pid, 0)


def _do_nothing(*_: object) -> None:
    """Handle a signal by waking the loop: see set_wakeup_fd."""
