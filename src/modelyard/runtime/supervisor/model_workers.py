"""The workers of one model: those that serve, and those that are to take their place.

A reload starts a new worker beside each that serves. It loads the model, answers the test instances, and only then
takes over the socket; the old one answers what it was sent, and ends. One that fails changes nothing but the reason
that /routes shows.
"""

import logging
import selectors
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelyard.runtime.application import Model
from modelyard.runtime.daemon.logs import fields
from modelyard.runtime.daemon.memory import read_resident_bytes
from modelyard.runtime.daemon.orders import Deed
from modelyard.runtime.daemon.settings import count_workers
from modelyard.runtime.daemon.site import Site
from modelyard.runtime.daemon.stamps import take_stamp
from modelyard.runtime.daemon.status import ModelStatus, socket_path
from modelyard.runtime.routes import Route
from modelyard.runtime.supervisor.ear import Reply
from modelyard.runtime.supervisor.forks import ForkServer
from modelyard.runtime.supervisor.model_process import ModelProcess
from modelyard.runtime.supervisor.processes import NEVER

log = logging.getLogger(__name__)

_FAR_OVER = 1.5
_LOOK_EVERY = 0.5


class ModelWorkers:
    """The processes of one model."""

    def __init__(
        self,
        site: Site,
        model: Model,
        routes: Iterable[Route],
        index: int,
        *,
        models: int,
        selector: selectors.BaseSelector,
        forks: ForkServer | None = None,
    ) -> None:
        """`models` is how many there are; `forks` is the fork server of the model's environment, if it has one."""
        self._site = site
        self._model = model
        self._routes = tuple(routes)
        self._selector = selector
        self._forks = forks
        self._limit = max(site.settings.memory_limit[route] for route in model.routes)
        count = count_workers(site.settings, model.routes, models=models)
        self._sockets = [socket_path(site.run_dir, index, replica) for replica in range(count)]
        self._serving = [self._make(socket) for socket in self._sockets]
        """None of them while the model is unloaded."""
        self._candidates: dict[Path, ModelProcess] = {}
        self._is_settling = False
        self._retiring: list[ModelProcess] = []
        self._reload_error: str | None = None
        self._reloads = 0
        self._reload_failures = 0
        self._seen: dict[str, Any] = {}
        self._tried: dict[str, Any] = {}
        self._is_limit_told = False
        self._look_at = 0.0
        self._replies: list[Reply] = []

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def processes(self) -> Iterator[ModelProcess]:
        """All of them."""
        yield from [*self._serving, *self._candidates.values(), *self._retiring]

    @property
    def status(self) -> ModelStatus:
        """How the model is: as its best worker, with the restarts of all."""
        order = ("ready", "restarting", "loading", "failed")
        unloaded = ModelStatus(name=self._model.name, state="unloaded", reason="an operator has unloaded it")
        statuses = (process.status for process in self._serving)
        best = min(statuses, key=lambda status: order.index(status.state), default=unloaded)
        return replace(
            best,
            unbatched={**best.unbatched, **self._find_unbatched()},
            restarts=sum(process.status.restarts for process in self._serving),
            workers=len(self._sockets),
            pids=[process.popen.pid for process in self.processes if process.popen],
            reloads=self._reloads,
            reload_failures=self._reload_failures,
            reload_error=self._reload_error,
        )

    def _find_unbatched(self) -> dict[str, str]:
        """By route, why one of them, or more, shares no calls."""
        each = [process.status.unbatched for process in self._find_ready()]
        return {route: why for unbatched in each for route, why in unbatched.items() if why is not None}

    def _find_ready(self) -> list[ModelProcess]:
        return [process for process in self._serving if process.status.state == "ready"]

    def reload(self, why: str) -> None:
        """Load the model again beside the old one; where that is under way, begin anew."""
        self._tell(logging.INFO, f"loading it again: {why}")
        self._drop_candidates()
        self._is_settling = False
        self._candidates = {process.socket: self._make(process.socket, process) for process in self._serving}

    def obey(self, do: Deed, reply: Reply) -> None:
        """Carry out an operator's order; `reply` is told when it is done, or why it can't be."""
        if do == "unload":
            self._unload()
            reply(None)
            return
        self._replies.append(reply)
        if self._serving:
            self.reload("asked to")
        else:
            self._tell(logging.INFO, "loading it: asked to")
            self._serving = [self._make(socket) for socket in self._sockets]

    def end(self, pid: int, why: str) -> None:
        """End one of them, of which somebody says why."""
        for process in self.processes:
            if process.popen is not None and process.popen.pid == pid:
                process.end(why)

    def abandon_reload(self, why: str) -> None:
        """Load nothing beside what serves any more; who waits for that is told why."""
        self._drop_candidates()
        self._answer_operators(why)

    def take_exit(self, process: ModelProcess, code: int, *, is_stopping: bool) -> None:
        """Deal with the end of one of them."""
        if process in self._serving:
            process.handle_exit(code, is_stopping=is_stopping)
            # What a reload refused is not served after a crash either, as long as another one serves.
            process.must_answer = next((one.answered for one in self._find_ready()), ())
            return
        process.handle_exit(code, is_stopping=True)
        if process in self._retiring:
            self._retiring.remove(process)
        elif not is_stopping:
            self._give_up(process)

    def tick(self, now: float) -> None:
        """Swap in what is ready, follow the model's files and memory."""
        for process in [one for one in self._candidates.values() if one.status.state == "ready"]:
            self._swap_in(process)
        for process in self._retiring:
            if now >= process.end_by:
                process.kill()
        if self._replies and not self._candidates and (status := self.status).state in ("ready", "failed"):
            self._answer_operators(status.reason)
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            self._settle()
            self._follow_files()
            self._follow_memory()

    def _make(self, socket: Path, predecessor: ModelProcess | None = None) -> ModelProcess:
        return ModelProcess(
            self._site,
            self._model,
            self._routes,
            socket,
            selector=self._selector,
            forks=self._forks,
            predecessor=predecessor,
        )

    def _swap_in(self, process: ModelProcess) -> None:
        """The new worker has taken over the socket: let the old one finish."""
        del self._candidates[process.socket]
        place = next(number for number, one in enumerate(self._serving) if one.socket == process.socket)
        old, self._serving[place] = self._serving[place], process
        process.take_over()
        self._retire(old)
        if not self._candidates and not self._is_settling:
            self._reloads += 1
            self._reload_error = None
            self._tell(logging.INFO, "loaded again and swapped in")
            self._answer_operators(None)

    def _settle(self) -> None:
        """Replace a worker that was started before there was a fork server: a fork shares its memory."""
        if self._forks is None or not self._forks.is_ready or self._candidates:
            return
        alone = [process for process in self._serving if process.status.state == "ready" and not process.is_forked]
        self._candidates = {process.socket: self._make(process.socket, process) for process in alone}
        self._is_settling = True

    def _give_up(self, process: ModelProcess) -> None:
        if self._is_settling:
            self._tell(logging.WARNING, f"does not load as a fork: {process.status.reason}; it keeps its own memory")
            self._forks = None
            self._drop_candidates()
            return
        self._reload_failures += 1
        self._reload_error = process.status.reason or "it ended while loading"
        left = "the old one serves on" if self._find_ready() else "the old one serves neither"
        self._tell(logging.ERROR, f"could not be loaded again: {self._reload_error}; {left}")
        self._drop_candidates()
        self._answer_operators(self._reload_error)

    def _drop_candidates(self) -> None:
        for process in self._candidates.values():
            self._retire(process)
        self._candidates = {}

    def _unload(self) -> None:
        """Let every worker answer what it was sent, and start none again."""
        self._tell(logging.INFO, "unloading it: asked to")
        self._drop_candidates()
        for process in self._serving:
            process.socket.unlink(missing_ok=True)
            self._retire(process)
        self._serving = []
        self._reload_error = None
        self._answer_operators("it was unloaded meanwhile")

    def _answer_operators(self, error: str | None) -> None:
        replies, self._replies = self._replies, []
        for reply in replies:
            reply(error)

    def _tell(self, level: int, what: str) -> None:
        log.log(level, "%s: %s", self._model.name, what, extra=fields(model=self._model.name))

    def _retire(self, process: ModelProcess) -> None:
        process.start_at = NEVER
        process.is_retired = True
        if process.is_running:
            process.end_by = time.monotonic() + process.limit + self._site.settings.stop_timeout
            self._retiring.append(process)
            process.release()

    def _follow_files(self) -> None:
        """Reload when a file that the model was loaded from has changed, and has stayed so for a moment."""
        if self._candidates or not self._find_ready():
            return
        loaded = [item for process in self._serving for item in process.files.items()]
        now = {path: take_stamp(path) for path in dict(loaded)}
        changed = {Path(path).name: None for path, stamp in loaded if stamp != now[path]}
        if changed and now == self._seen and now != self._tried:
            self._tried = now
            self.reload(f"{', '.join(changed)} changed")
        self._seen = now

    def _follow_memory(self) -> None:
        """Replace a worker that holds too much, before it is too late; end one that grows too fast for that."""
        if not self._limit:
            return
        for process in self._serving:
            size = read_resident_bytes(process.popen.pid) if process.popen else None
            if size is None or size <= self._limit:
                continue
            over = f"it holds {size >> 20} MB, over the limit of {self._limit >> 20} MB (MEMORY_LIMIT)"
            if size > _FAR_OVER * self._limit:
                process.end(over)
            elif process.loaded_bytes > self._limit:
                self._tell_limit(over)
            elif not self._candidates and process.status.state == "ready":
                self.reload(over)

    def _tell_limit(self, over: str) -> None:
        """Say once that a limit is too low for the model: another worker would hold no less."""
        if not self._is_limit_told:
            self._is_limit_told = True
            self._tell(logging.ERROR, f"{over}, as soon as it is loaded, so it is not replaced: raise the limit")
