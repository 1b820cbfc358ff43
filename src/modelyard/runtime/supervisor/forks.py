"""The fork server of one environment, as the supervisor sees it.

The first worker of the environment is started from nothing, and tells what it has imported. The fork server imports the
same; all others, and everyone that is started again, is a fork of it: there in milliseconds, sharing its memory.
"""

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from modelyard.runtime.daemon.channels import NonsenseError, parse_fork_news
from modelyard.runtime.daemon.families import MARK, is_parent
from modelyard.runtime.daemon.site import Site
from modelyard.runtime.supervisor.lines import LineBuffer, read_lines, unfollow
from modelyard.runtime.supervisor.processes import NEVER, Process

log = logging.getLogger(__name__)

_PATIENCE = 20.0  # of the others, with the first one and with what it imports
_ANSWER_TIME = 10.0


class ForkedProcess:
    """A worker that the fork server has forked: what a Popen knows of a child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, when the fork server has told it."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkServer(Process):
    """Forks workers, once it has learnt what they import; before, it lets one of them start without it."""

    def __init__(self, site: Site, environment: str, selector: selectors.BaseSelector) -> None:
        super().__init__()
        self._site = site
        self._environment = environment
        self._selector = selector
        self._modules: Sequence[str] = ()
        self._control: socket.socket | None = None
        self._lines = LineBuffer()
        self._forked: dict[int, ForkedProcess] = {}
        self._answer: Mapping[str, Any] = {}
        self._first: object = None
        self._wait_until = NEVER
        self.is_ready = False
        self._has_refused = False
        self.start_at = NEVER

    def lets_start(self, worker: object) -> bool:
        """Tell whether a worker may start now: as a fork, as the first, or because waiting has taken too long."""
        if self._first is None:
            self._first = worker
            self._wait_until = time.monotonic() + _PATIENCE
        return self.is_ready or worker is self._first or time.monotonic() >= self._wait_until

    def learn(self, modules: Sequence[str]) -> None:
        """Import what the first worker has imported, now that it is ready."""
        if not self._modules and modules:
            self._modules = modules
            self._wait_until = time.monotonic() + _PATIENCE
            self.start_at = 0.0

    def forget(self, worker: object) -> None:
        """Let another worker be the first, where this one has ended without being ready."""
        if worker is self._first and not self._modules:
            self._first = None

    def start(self) -> None:
        """Start it, and have it import."""
        self._control, control = socket.socketpair()
        with control:
            self.popen = subprocess.Popen(
                [
                    str(self._site.python(self._environment)),
                    "-m",
                    "modelyard.runtime.worker.forkserver",
                    str(control.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                cwd=self._site.root,
                env=self._site.child_environ(**{MARK: self._site.make_mark(0)}),
                pass_fds=(control.fileno(),),
                process_group=0,
            )
        self._lines = LineBuffer()
        self.start_at = NEVER
        self._control.settimeout(_ANSWER_TIME)
        self._selector.register(self._control, selectors.EVENT_READ, self._read)
        self._control.sendall(json.dumps({"preload": self._modules}).encode() + b"\n")

    def fork(self, settings: Mapping[str, Any], descriptors: Sequence[int]) -> ForkedProcess:
        """Fork a worker that gets the descriptors: control, clock, output. Raises OSError where it can't."""
        assert self._control is not None
        self._answer = {}
        socket.send_fds(self._control, [json.dumps({"fork": settings}).encode() + b"\n"], list(descriptors))
        deadline = time.monotonic() + _ANSWER_TIME
        while not self._answer:
            if time.monotonic() > deadline or self.popen is None or self.popen.poll() is not None:
                self.kill()
                raise OSError("the fork server does not answer")
            self._read()
        process = self._forked[self._answer["forked"]] = ForkedProcess(self._answer["forked"])
        return process

    def take_exit(self) -> int | None:
        """The exit code, once; nobody knows how its workers are without it, so they end as well."""
        code = super().take_exit()
        if code is not None:
            self._close()
            if not self._has_refused:
                self.plan_restart(served_for=0.0)
            for worker in [*self._forked.values()]:
                worker.send_signal(signal.SIGKILL)
                worker.returncode = -signal.SIGKILL
            self._forked = {}
        return code

    def kill(self) -> None:
        """End it."""
        if self.popen is not None:
            self.popen.send_signal(signal.SIGKILL)

    def _read(self) -> None:
        if self._control is None:
            return
        for line in read_lines(self._selector, self._control, self._control.recv, self._lines):
            try:
                self._take(parse_fork_news(line))
            except NonsenseError as error:
                log.error("the fork server of %s ends: it told the supervisor %s", self._environment, error)
                unfollow(self._selector, self._control)
                self.kill()
                return

    def _take(self, news: Mapping[str, Any]) -> None:
        """Believe what it has to say; raise NonsenseError for what it cannot know."""
        if "exit" in news:
            worker = self._forked.pop(news["exit"], None)
            if worker is not None:
                worker.returncode = news["code"]
        elif "forked" in news:
            if self.popen is None or not is_parent(self.popen.pid, news["forked"]):
                raise NonsenseError(f"of a process that it has not forked: {news['forked']}")
            self._answer = news
        elif "preloaded" in news:
            self.is_ready = True
        else:
            log.warning("workers share no imports in %s: %s", self._environment, news["refused"])
            self._has_refused = True
            self._close()

    def _close(self) -> None:
        """Let go of it: it ends when its socket does, and nobody waits for it any more."""
        self.is_ready = False
        self._wait_until = 0.0
        if self._control is not None:
            unfollow(self._selector, self._control)
            self._control.close()
            self._control = None
