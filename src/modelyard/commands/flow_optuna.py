"""What to try next, by Optuna's samplers and pruners; its journal lets a search go on that was cut short."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.commands.flow_search import Trial, waiting_trial
from modelyard.errors import InputError
from modelyard.flows.config import Config
from modelyard.flows.definition import Search
from modelyard.flows.search import count_default, resolve_space

try:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState
except ModuleNotFoundError as _error:
    raise InputError(
        f"method: optuna needs the Python package {_error.name!r}, which is not installed",
        hint="pip install 'modelyard[search]', or take method: random",
    ) from None

_SAMPLERS: Mapping[str, Callable[[int], Any]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "qmc": lambda seed: optuna.samplers.QMCSampler(seed=seed),
}
_PRUNERS: Mapping[str, Callable[[], Any]] = {
    "none": lambda: optuna.pruners.NopPruner(),
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=2),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(),
    "successive_halving": lambda: optuna.pruners.SuccessiveHalvingPruner(),
}
_NUMBER = "number"
_OVER = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass
class OptunaProposer:
    """A study; each of its trials says which number of ours it is."""

    study: "optuna.Study"
    space: Mapping[str, Any]
    count: int
    known: dict[int, "optuna.trial.FrozenTrial"]
    """The last that a search which was cut short has of each number."""
    waiting: int
    """How many are in the study's queue."""
    _open: dict[int, "optuna.Trial"] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, search: Search, config: Config, journal: Path) -> "OptunaProposer":
        """Open the study of a search, or go on with it; trials that were cut short, or failed, are done again."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            study_name=journal.stem,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            pruner=_PRUNERS[search.pruner](),
            direction="maximize" if search.direction == "maximum" else "minimize",
            load_if_exists=True,
        )
        trials = study.get_trials()
        study.sampler = _SAMPLERS[search.sampler](search.seed + len(trials))  # that of before would draw the same again
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
        known = {trial.user_attrs[_NUMBER]: trial for trial in trials if _NUMBER in trial.user_attrs}
        again = {number: trial for number, trial in known.items() if trial.state not in _OVER}
        for number, trial in again.items():
            if trial.state != TrialState.WAITING:
                study.enqueue_trial(trial.params, user_attrs={_NUMBER: number})
        return cls(study, resolve_space(search, config), count_default(search, config), known, len(again))

    def finished(self) -> Mapping[int, Trial]:
        """See Proposer: those that were pruned."""
        return {
            number: {**waiting_trial(number, trial.params), "state": "pruned"}
            for number, trial in self.known.items()
            if trial.state == TrialState.PRUNED
        }

    def propose(self) -> tuple[int, Mapping[str, Any]] | None:
        """See Proposer; first those that are over, which are not run again, then those that were cut short."""
        with self._lock:
            for number, known in list(self.known.items()):
                if known.state == TrialState.COMPLETE:
                    self.known[number] = optuna.trial.create_trial(state=TrialState.PRUNED)
                    return number, known.params
            if self.waiting:
                self.waiting -= 1
                trial = self.study.ask()
                number = int(trial.user_attrs[_NUMBER])
            else:
                number = max(self.known, default=-1) + 1
                if number >= self.count:
                    return None
                trial = self.study.ask()
                trial.set_user_attr(_NUMBER, number)
                self.known[number] = optuna.trial.create_trial(state=TrialState.PRUNED)
            self._open[number] = trial
            return number, {name: _suggest(trial, name, values) for name, values in self.space.items()}

    def is_pruned(self, number: int, epoch: int, value: float) -> bool:
        """See Proposer."""
        with self._lock:
            trial = self._open[number]
            trial.report(value, epoch)
            return trial.should_prune()

    def tell(self, number: int, trial: Mapping[str, Any]) -> None:
        """See Proposer."""
        with self._lock:
            open_trial = self._open.pop(number, None)
            if open_trial is None:  # it was known
                return
            if trial["metric"] is not None:
                self.study.tell(open_trial, trial["metric"])
            else:
                state = TrialState.PRUNED if trial["state"] == "pruned" else TrialState.FAIL
                self.study.tell(open_trial, state=state)


def _suggest(trial: "optuna.Trial", name: str, values: Any) -> Any:
    if not isinstance(values, dict):
        return trial.suggest_categorical(name, values)
    if values.get("whole"):
        return trial.suggest_int(name, round(values["min"]), round(values["max"]), log=values.get("log", False))
    return trial.suggest_float(name, values["min"], values["max"], log=values.get("log", False))
