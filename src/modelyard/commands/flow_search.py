"""Run a step as the trials of a search, and take what the best of them made."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelyard.commands.flow_stopping import Stopped
from modelyard.errors import ModelyardError
from modelyard.flows.definition import Search
from modelyard.flows.search import pick_best

Trial = dict[str, Any]
"""As trials.json has it."""


class Proposer(Protocol):
    """Says what to try next."""

    def finished(self) -> Mapping[int, Trial]:
        """Trials of a search that was cut short which are over and need no run to be known."""

    def propose(self) -> tuple[int, Mapping[str, Any]] | None:
        """The number and parameters of the next trial; None where there is none (any more, or for now)."""

    def is_pruned(self, number: int, epoch: int, value: float) -> bool:
        """Whether a trial that has come to `value` is to be given up."""

    def tell(self, number: int, trial: Mapping[str, Any]) -> None:
        """Hear what came of a trial."""


class ListProposer:
    """Trials that are known from the start: of a grid, or drawn."""

    def __init__(self, trials: list[dict[str, Any]]) -> None:
        self._trials = iter(enumerate(trials))

    def finished(self) -> Mapping[int, Trial]:
        """See Proposer."""
        return {}

    def propose(self) -> tuple[int, Mapping[str, Any]] | None:
        """See Proposer."""
        return next(self._trials, None)

    def is_pruned(self, number: int, epoch: int, value: float) -> bool:
        """See Proposer."""
        return False

    def tell(self, number: int, trial: Mapping[str, Any]) -> None:
        """See Proposer."""


RunTrial = Callable[[int, Mapping[str, Any]], Trial]
"""Runs one trial to its end and says what came of it; `failed` is no exception."""


@dataclass
class SearchRun:
    """A search that goes on."""

    search: Search
    proposer: Proposer
    run_trial: RunTrial
    show: Callable[[list[Trial]], None]
    """Writes the trials so far."""
    note: Callable[[str], None]
    trials: dict[int, Trial] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> list[Trial]:
        """Run every trial, some side by side; return them by number."""
        with ThreadPoolExecutor(self.search.parallel, thread_name_prefix="trial") as pool:
            running: dict[Future[Trial], int] = {}
            self.trials.update(self.proposer.finished())
            while True:
                for number, params in self._next(self.search.parallel - len(running)):
                    self._put(number, {**waiting_trial(number, params), "state": "running"})
                    running[pool.submit(self.run_trial, number, params)] = number
                if not running:
                    return [self.trials[number] for number in sorted(self.trials)]
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._end(running.pop(future), future)

    def _next(self, free: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        for _ in range(free):
            proposed = self.proposer.propose()
            if proposed is None:
                return
            yield proposed

    def _end(self, number: int, future: "Future[Trial]") -> None:
        try:
            trial = future.result()
        except Stopped:
            self._put(number, {**self.trials[number], "state": "interrupted"})
            raise
        trial = {**self.trials[number], **trial}
        self._put(number, trial)
        self.proposer.tell(number, trial)
        shown = ", ".join(f"{name} {value}" for name, value in trial["params"].items())
        ended = f"{self.search.metric} {trial['metric']}" if trial["metric"] is not None else trial["error"] or ""
        self.note(f"trial {number} ({shown}) {trial['state']}: {ended.splitlines()[0] if ended else 'no metric'}")

    def _put(self, number: int, trial: Trial) -> None:
        with self._lock:
            self.trials[number] = trial
            self.show([self.trials[each] for each in sorted(self.trials)])


def waiting_trial(number: int, params: Mapping[str, Any]) -> Trial:
    """A trial of which nothing is known yet."""
    return {
        "number": number,
        "state": "waiting",
        "params": dict(params),
        "metric": None,
        "metrics": {},
        "curves": {},
        "seconds": None,
        "attempts": 0,
        "exit_code": None,
        "error": None,
        "key": None,
        "made_by": None,
        "outputs": {},
        "log": None,
        "best": False,
    }


class AllFailedError(ModelyardError):
    """No trial of a search has the metric."""

    exit_code = 6


def choose_best(trials: list[Trial], search: Search, *, step: str) -> int:
    """Mark the best trial and return its index; raise AllFailedError where there is none."""
    counted = [trial["metric"] if trial["state"] in ("succeeded", "reused") else None for trial in trials]
    best = pick_best(counted, direction=search.direction)
    if best is None:
        failed = next((trial["error"] for trial in trials if trial["error"]), None)
        made = sorted({name for trial in trials for name in trial["metrics"]})
        why = f"; the first error: {failed}" if failed else f"; the metrics are {', '.join(made) or 'none'}"
        raise AllFailedError(
            f"step {step}: none of {len(trials)} trials has a {search.metric}{why}",
            hint="a trial returns it in its metrics",
        )
    trials[best]["best"] = True
    return best
