"""Run one step of a flow, or all trials of its search, and keep what came of it by its key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelyard.commands.flow_request import Prepared
from modelyard.commands.flow_search import ListProposer, Proposer, SearchRun, Trial, choose_best
from modelyard.commands.flow_work import Made, Work, Worker
from modelyard.errors import ModelyardError
from modelyard.flows.definition import Search, Step
from modelyard.flows.keys import Basis
from modelyard.flows.records import RunRecord, now
from modelyard.flows.search import merge_params, plan_trials


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """A step that is to be run now, and what it is run with."""

    step: Step
    basis: Basis
    prepared: Prepared
    record: RunRecord
    worker: Worker
    image: str
    environ: Mapping[str, str]
    side_by_side: int
    inputs: Mapping[str, Path]
    note: Callable[[str], None]
    forced: bool

    def work(self, name: str, params: Mapping[str, Any], *, log: Path, shared_by: int) -> Work:
        """A call of it."""
        step = self.step
        model = self.prepared.sources.models.get(step.name)
        return Work(
            step=step,
            params=params,
            inputs=self.inputs,
            folder=self.record.work / name,
            log=log,
            name=f"flow-{self.record.id}-{name.lower()}",
            project=self.prepared.flow.project,
            environ=self.environ,
            side_by_side=shared_by,
            model=model,
            image=self.image,
            entry=self.prepared.sources.entry(step) if model else ("", ""),
        )


def run_step(context: StepContext) -> Mapping[str, Any]:
    """Run a step to its end; return what is kept of it. Raises ModelyardError where it fails."""
    return _search(context, context.step.search) if context.step.search else _run_once(context)


def _run_once(context: StepContext) -> Mapping[str, Any]:
    step, curves = context.step, dict[str, list[float]]()

    def add_point(_epoch: int, point: Mapping[str, float]) -> None:
        for name, value in point.items():
            curves.setdefault(name, []).append(value)
        context.record.touch_curves(step.name, curves)

    log = context.record.folder / step.name / "log"
    work = context.work(step.name, context.basis.params, log=log, shared_by=context.side_by_side)
    made = context.worker.do(work, on_point=add_point, on_line=lambda line: None)
    kept = _keep(context, context.basis, made)
    context.record.update(step.name, **made.about)
    return kept


def _keep(context: StepContext, basis: Basis, made: Made, **more: Any) -> dict[str, Any]:
    about = {
        "step": context.step.name,
        "key": basis.key,
        "run": context.record.id,
        "ended": now(),
        "image": context.image or None,
        "basis": basis.about,
        **made.about,
        **more,
    }
    context.prepared.records.keep_result(basis.key, about)
    return about


def _search(context: StepContext, search: Search) -> Mapping[str, Any]:
    step, record = context.step, context.record
    trials = TrialRunner(context, search)
    run = SearchRun(
        search=search,
        proposer=make_proposer(context, search),
        run_trial=trials.run,
        show=lambda shown: record.update_trials(step.name, shown),
        note=lambda text: context.note(f"{step.name}: {text}"),
    )
    trials.is_pruned = run.proposer.is_pruned
    done = run.run()
    best = choose_best(done, search, step=step.name)
    record.update_trials(step.name, done)
    about = {
        "method": search.method,
        "metric": search.metric,
        "direction": search.direction,
        "over": list(search.over),
        "best": best,
        "trials": len(done),
    }
    seconds = round(sum(trial["seconds"] or 0 for trial in done), 3)
    won = done[best]
    result = context.prepared.records.result(won["key"]) or {}
    fields = {name: result[name] for name in ("outputs", "metrics", "curves", "result")}
    kept = {
        "step": step.name,
        "key": context.basis.key,
        "run": record.id,
        "ended": now(),
        "image": context.image or None,
        "basis": context.basis.about,
        **fields,
        "seconds": seconds,
        "attempts": 1,
        "exit_code": 0,
        "search": about,
        "trials": done,
    }
    context.prepared.records.keep_result(context.basis.key, kept)
    record.update(step.name, **fields, seconds=seconds, attempts=1, exit_code=0, search=about)
    return kept


def make_proposer(context: StepContext, search: Search) -> Proposer:
    """Who says what to try next."""
    if search.method != "optuna":
        return ListProposer(plan_trials(search, context.prepared.config))
    from modelyard.commands.flow_optuna import OptunaProposer

    folder = context.prepared.records.root / "searches"
    journal = folder / f"{context.basis.key}.journal"
    folder.mkdir(parents=True, exist_ok=True)
    if context.forced:
        journal.unlink(missing_ok=True)
    return OptunaProposer.open(search, context.prepared.config, journal)


@dataclass
class TrialRunner:
    """Runs the trials of a step; one whose key is known is not run again."""

    context: StepContext
    search: Search
    is_pruned: Callable[[int, int, float], bool] = lambda number, epoch, value: False

    def run(self, number: int, params: Mapping[str, Any]) -> Trial:
        """Run a trial to its end, or take what is known of it."""
        context = self.context
        merged = merge_params(context.basis.params, params)
        basis = replace(context.basis, params=merged, search=None)
        log = f"{context.step.name}/trial-{number}.log"
        found = None if context.forced else context.prepared.records.result(basis.key)
        if found is not None:
            return self._describe(found, basis, log, state="reused")
        name = f"{context.step.name}-{number}"
        shared = context.side_by_side * self.search.parallel
        work = context.work(name, merged, log=context.record.folder / log, shared_by=shared)
        watch = Watch(self, number)
        try:
            made = context.worker.do(work, on_point=watch.see, on_line=lambda line: None)
        except Pruned:
            return {"state": "pruned", "log": log, "made_by": context.record.id, "curves": watch.curves}
        except ModelyardError as error:
            code = getattr(error, "code", None)
            return {"state": "failed", "error": error.message, "exit_code": code, "log": log, "attempts": 1}
        return self._describe(_keep(context, basis, made), basis, log, state="succeeded")

    def _describe(self, kept: Mapping[str, Any], basis: Basis, log: str, *, state: str) -> Trial:
        fields = ("metrics", "curves", "seconds", "attempts", "exit_code", "outputs")
        return {
            "state": state,
            "metric": kept["metrics"].get(self.search.metric),
            **{name: kept[name] for name in fields},
            "key": basis.key,
            "made_by": kept["run"],
            "log": log if state == "succeeded" else None,
        }


class Pruned(Exception):
    """A trial is given up: it is worse than others were."""


@dataclass
class Watch:
    """Sees the points of a trial's curves, and gives up one that is to be pruned."""

    runner: TrialRunner
    number: int
    curves: dict[str, list[float]] = field(default_factory=dict)

    def see(self, epoch: int, point: Mapping[str, float]) -> None:
        """Hear of a point."""
        metric = self.runner.search.metric
        for name, value in point.items():
            self.curves.setdefault(name, []).append(value)
        if metric in point and self.runner.is_pruned(self.number, epoch, point[metric]):
            raise Pruned
