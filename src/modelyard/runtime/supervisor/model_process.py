"""A model's process, as the supervisor sees it: started, listened to, ended when it hangs, started again."""

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import IO, Any

from modelyard.runtime.application import Model
from modelyard.runtime.daemon.channels import CLOCK, DUMP_SIGNAL, NonsenseError, parse_news, read_clock
from modelyard.runtime.daemon.families import MARK, end_family
from modelyard.runtime.daemon.logs import fields
from modelyard.runtime.daemon.memory import read_resident_bytes, reserve_disk
from modelyard.runtime.daemon.seldon_metrics import metrics_path
from modelyard.runtime.daemon.site import Site
from modelyard.runtime.daemon.status import ModelStatus
from modelyard.runtime.daemon.taken import own_socket
from modelyard.runtime.routes import Route
from modelyard.runtime.supervisor.attention import Attention
from modelyard.runtime.supervisor.effort import Effort
from modelyard.runtime.supervisor.forks import ForkServer
from modelyard.runtime.supervisor.last_words import LastWords
from modelyard.runtime.supervisor.lines import MAX_LINE, LineBuffer, read_lines, unfollow
from modelyard.runtime.supervisor.processes import NEVER, Child, Process, describe_exit

log = logging.getLogger(__name__)

_MAX_NEWS = 1 << 24  # the modules and files of a large model take more than a line of its log may
_LAST_WORDS = 3.0
_DUMP_TIME = 0.3
_GRACE = 0.2  # the gateway gives up first, so that the client gets its 504
_LEAST_PATIENCE = 5.0
_STARTS = count(1)


class ModelProcess(Process):
    """The worker of one model, and what is known of it."""

    def __init__(
        self,
        site: Site,
        model: Model,
        routes: Iterable[Route],
        socket_path: Path,
        *,
        selector: selectors.BaseSelector,
        forks: ForkServer | None = None,
        predecessor: "ModelProcess | None" = None,
    ) -> None:
        """`selector` gets a callback for what the process prints and what it reports; `forks` may start it.

        One with a predecessor has to answer the test instances as far as that did, before it takes over the socket.
        """
        super().__init__()
        self._selector = selector
        self.status = ModelStatus(name=model.name)
        self._site = site
        self._model = model
        self._routes = [(route.name, route.module, route.function) for route in routes]
        self.socket = socket_path
        self.files: Mapping[str, Any] = {}
        """What the model was loaded from: paths, and the files' stamps at that time."""
        self.answered: tuple[str, ...] = ()
        """The routes that answer the test instances."""
        self.must_answer: tuple[str, ...] = ()
        """The routes that have to, else it fails to load; a predecessor's go first."""
        self.loaded_bytes = 0
        """What the process held when it was ready."""
        self.is_retired = False
        self.end_by = NEVER
        self._forks = forks
        self.is_forked = False
        self._predecessor = predecessor
        self._mark = ""
        self._control: socket.socket | None = None
        self._output: IO[bytes] | None = None
        self._clock: IO[bytes] | None = None
        self._lines = LineBuffer()
        self._news = LineBuffer(limit=_MAX_NEWS)
        self._last_words = LastWords(str(site.root))
        self._started = NEVER
        self._ready_since = NEVER
        self._kill_at = NEVER
        self._kill_reason: str | None = None
        self._is_released = False
        self._has_served = False
        self._effort = Effort()
        self._attention = Attention()
        self._is_believed = True
        """Whether all that it has told was news."""
        self._deaf_since = NEVER

    @property
    def may_start(self) -> bool:
        """Tell whether it is this one's turn, where its environment has a fork server."""
        return self._forks is None or self._forks.lets_start(self)

    @property
    def takes_turns(self) -> bool:
        """Tell whether it waits until few others load; one that has served is started again at once."""
        return not self._has_served

    @property
    def is_loading(self) -> bool:
        """Tell whether it takes one of the turns: it loads, and computes or has begun only just."""
        return self.popen is not None and self._ready_since == NEVER and not self._effort.is_idle

    def wait_for_turn(self, place: int | None) -> None:
        """Show its place among those that wait to load."""
        if self.status.turn != place:
            self.status = replace(self.status, turn=place)

    def look_for_work(self, now: float) -> None:
        """See whether loading computes."""
        if self.popen is not None and self._ready_since == NEVER:
            self._effort.look(self.popen.pid, now)

    def start(self) -> None:
        """Start the worker."""
        self._mark = self._site.make_mark(next(_STARTS))
        self._control, control = socket.socketpair()
        with control, tempfile.TemporaryFile(dir=self._site.run_dir) as clock:
            clock.truncate(CLOCK.size)
            reserve_disk(clock.fileno(), CLOCK.size)
            # Read, not mapped: the worker may cut it short, which would end who touches a page that is not there.
            self._clock = open(os.dup(clock.fileno()), "rb", buffering=0)  # noqa: PTH123, SIM115
            read_end, output = os.pipe()
            self._output = open(read_end, "rb", buffering=0)  # noqa: PTH123, SIM115
            try:
                self.popen = self._spawn(control.fileno(), clock.fileno(), output)
            finally:
                os.close(output)
        self._started = time.monotonic()
        self._effort.begin(self._started)
        self._attention.hear()
        self._last_words.forget()
        self._is_believed, self._deaf_since = True, NEVER
        self._lines, self._news = LineBuffer(), LineBuffer(limit=_MAX_NEWS)
        self._follow()
        restarts = self.status.restarts + (self.status.pid is not None)
        state = "loading" if self.status.pid is None else self.status.state
        begun = replace(self.status, turn=None, load_by=self._started + self._site.settings.load_timeout)
        self.status = replace(begun, pid=self.popen.pid, restarts=restarts, state=state)

    def release(self) -> None:
        """Tell the worker to stop when it has answered what it was sent; one that still loads has nothing to finish."""
        if self._ready_since == NEVER:
            self.kill()
        elif self._control is not None:
            self._is_released = True
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """End the worker and all that comes from it."""
        if self.popen is not None:
            end_family(self._mark, self.popen.pid)

    def end_overdue(self, now: float) -> None:
        """End a worker that does not react, or whose loading or running request takes too long.

        It is made to show where it is, then killed.
        """
        if now >= self._kill_at:
            self.kill()
        elif self.popen is not None and self._kill_at == NEVER and (why := self._find_overdue(now)):
            self._kill_reason = why
            log.error("%s: %s, here:", self.status.name, why)
            self._kill_at = now + _DUMP_TIME
            self.popen.send_signal(DUMP_SIGNAL)

    def end(self, reason: str) -> None:
        """End the worker for a reason."""
        if self._kill_reason is None:
            self._kill_reason = reason
            self.kill()

    def take_over(self) -> None:
        """Serve in the predecessor's place: started again like any other from now on."""
        if self._predecessor is not None:
            self.status = replace(self.status, restarts=self._predecessor.status.restarts)
            self._predecessor = None
            self._take_place()

    def handle_exit(self, code: int, *, is_stopping: bool) -> None:
        """Take down what belonged to the process, and plan the next start."""
        pid = self.status.pid
        assert pid is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        end_family(self._mark)
        self._read_output()
        if self._is_believed:
            self._read_control()
        self._unfollow()
        for path in self.socket.parent.glob(metrics_path(self.socket, pid).name):
            path.unlink(missing_ok=True)
        own_socket(self.socket, pid).unlink(missing_ok=True)
        if not self.is_retired and not self._predecessor:
            self.socket.unlink(missing_ok=True)
        if self._forks is not None:
            self._forks.forget(self)
        if self.is_forked and self._ready_since == NEVER:
            self._forks = None  # should that be the fork's fault, it loads from nothing
        self.status = self._describe_end(code)
        if is_stopping:
            self.start_at = NEVER
            return
        served_for = max(0.0, time.monotonic() - self._ready_since)
        level = logging.ERROR if served_for else logging.WARNING
        log.log(level, "%s: %s", self.status.name, self.status.reason, extra=fields(model=self.status.name, pid=pid))
        self._ready_since = self._kill_at = NEVER
        self._kill_reason = None
        self.plan_restart(served_for=served_for)

    @property
    def limit(self) -> float:
        """Seconds that a request may run, on whichever of its routes."""
        return max(self._site.settings.request_timeout[route] for route in self._model.routes)

    def _spawn(self, control: int, clock: int, output: int) -> Child:
        """Start the process as a fork, where there is a server for that, else from nothing."""
        self.is_forked = self._forks is not None and self._forks.is_ready
        if self._forks is not None and self.is_forked:
            return self._forks.fork(self._arguments(), (control, clock, output))
        arguments = json.dumps({**self._arguments(), "control": control, "clock": clock})
        return subprocess.Popen(
            [str(self._site.python(self._model.environment)), "-m", "modelyard.runtime.worker", arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self._site.root,
            env=self._site.child_environ(**{MARK: self._mark}),
            pass_fds=(control, clock),
            process_group=0,
        )

    def _arguments(self) -> dict[str, Any]:
        settings = self._site.settings
        return {
            "model": self._model.name,
            "mark": self._mark,
            "routes": self._routes,
            "path": None if self._model.path == "." else self._model.path,
            "socket": str(self.socket),
            "in_place": False,
            "must_answer": self._predecessor.answered if self._predecessor else self.must_answer,
            "queue": settings.queue_size,
            "max_body": settings.max_body,
            "instances": str(self._site.root / self._model.instances) if self._model.instances else None,
            "timeout": {route: settings.request_timeout[route] for route in self._model.routes},
            "batch": {
                "size": {route: settings.batch_size[route] for route in self._model.routes},
                "wait": {route: settings.batch_wait[route] for route in self._model.routes},
                "tolerance": settings.batch_tolerance,
            },
            "is_first": self._forks is not None and not self._forks.is_ready,
        }

    def _follow(self) -> None:
        assert self._control is not None and self._output is not None
        self._control.setblocking(False)
        os.set_blocking(self._output.fileno(), False)
        self._selector.register(self._control, selectors.EVENT_READ, self._read_control)
        self._selector.register(self._output, selectors.EVENT_READ, self._read_output)

    def _unfollow(self) -> None:
        for channel in (self._control, self._output):
            if channel is not None:
                unfollow(self._selector, channel)
                channel.close()
        if self._clock is not None:
            self._clock.close()
        self._control = self._output = self._clock = None

    def _read_control(self) -> None:
        assert self._control is not None
        for line in read_lines(self._selector, self._control, self._control.recv, self._news):
            try:
                is_ready, is_asked = self._ready_since != NEVER, self._attention.is_asked
                self._take_news(parse_news(line, self._model.routes, is_ready=is_ready, is_asked=is_asked))
            except NonsenseError as error:
                self._is_believed = False
                unfollow(self._selector, self._control)
                self.end(f"it told the supervisor {error}")
                return
        if self._control not in self._selector.get_map():
            self._deaf_since = time.monotonic()

    def _take_news(self, news: Mapping[str, Any]) -> None:
        if news["state"] == "alive":
            self._attention.hear()
        elif news["state"] == "ready":
            self._ready_since = time.monotonic()
            self._has_served = True
            self._news.limit = MAX_LINE
            self.loaded_bytes = read_resident_bytes(self.popen.pid) or 0 if self.popen else 0
            seconds = float(news["seconds"])
            self.files, self.answered = news["files"], tuple(news["answered"])
            shown = {"unbatched": news["unbatched"], "answers": news["answers"], "load_by": None}
            self.status = replace(self.status, state="ready", reason=None, load_seconds=seconds, **shown)
            if self._forks is not None:
                self._forks.learn(news["modules"])
            if self._predecessor is None:
                self._take_place()
            log.info("%s: ready in %.2f s", self.status.name, seconds, extra=fields(model=self.status.name))
        elif news["state"] == "unbatched":
            route, reason = news["route"], news["reason"]
            if self.status.unbatched.get(route) is not None:
                raise NonsenseError(f"again that requests of {route} share no calls")
            self.status = replace(self.status, unbatched={**self.status.unbatched, route: reason})
            log.warning("%s: requests of %s share no more calls: %s", self.status.name, route, reason)
        else:
            self.status = replace(self.status, state="failed", reason=str(news["reason"]))

    def _take_place(self) -> None:
        """Have the gateway find this worker where it looks for the model's: no other process decides who that is."""
        if self.popen is not None and not self.is_retired:
            try:
                own_socket(self.socket, self.popen.pid).replace(self.socket)
            except OSError as error:
                self.end(f"its socket has gone: {error}")

    def _read_output(self) -> None:
        assert self._output is not None
        output = self._output
        for line in read_lines(self._selector, output, lambda size: os.read(output.fileno(), size), self._lines):
            self._last_words.note(line)
            log.info("[%s] %s", self.status.name, line, extra=fields(model=self.status.name))

    def _describe_end(self, code: int) -> ModelStatus:
        return replace(self._describe_reason(code), load_by=None)

    def _describe_reason(self, code: int) -> ModelStatus:
        end = self._kill_reason or describe_exit(code)
        if self._ready_since != NEVER:
            return replace(self.status, state="restarting", reason=f"the model's process ended: {end}")
        if self.status.state == "failed" and self.status.reason:
            return self.status
        line = self._last_words.line
        said = f" (its last line: {line})" if line and not self._kill_reason else ""
        return replace(self.status, state="failed", reason=f"the model's process ended while loading: {end}{said}")

    def _find_overdue(self, now: float) -> str | None:
        """What takes too long; None while nothing does."""
        if now - self._deaf_since > _LAST_WORDS and not self._is_released:
            return "it has closed its socket to the supervisor"
        if self._ready_since == NEVER:
            limit = self._site.settings.load_timeout
            return f"loading it took longer than {limit:g} s (LOAD_TIMEOUT)" if now - self._started > limit else None
        try:
            end_by, seconds = self._read_clock()
        except NonsenseError as error:
            return f"it shows {error}"
        if 0.0 < end_by < now - _GRACE:
            return f"a request ran longer than {seconds:g} s"
        patience = max(self.limit, _LEAST_PATIENCE)
        return f"it did not react for {patience:g} s" if self._listen(now, computes=end_by > 0.0) > patience else None

    def _read_clock(self) -> tuple[float, float]:
        """When the running call has to end, and how long it may take; zeros where none runs."""
        if self._clock is None:
            return 0.0, 0.0
        data = os.pread(self._clock.fileno(), CLOCK.size, 0)
        return read_clock(data, time.monotonic(), self.limit)

    def _listen(self, now: float, *, computes: bool) -> float:
        """For how many seconds it has not reacted, asked now and then."""
        control = self._control
        if self._is_released or control is None:
            self._attention.look_away(now)
            return 0.0
        return self._attention.watch(now, lambda: control.send(b"\n"), computes=computes)
