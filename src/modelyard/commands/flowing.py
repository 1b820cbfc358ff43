"""Run a flow: each step whose key is new, beside those that it does not need, and a record of it."""

from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from modelyard import __version__
from modelyard.commands.building import BuildRequest, build_image
from modelyard.commands.flow_request import FlowRequest, Prepared, prepare, read_git
from modelyard.commands.flow_stopping import Stopped, Stopper, stop_left
from modelyard.commands.reporter import Reporter
from modelyard.engines.parts import require_builder, require_runner
from modelyard.engines.protocols import ContainerRunner, Engine
from modelyard.errors import ModelyardError, RunError
from modelyard.flows.definition import Step
from modelyard.flows.plan import Decision
from modelyard.flows.publishing import publish
from modelyard.flows.records import WORK, Records, RunRecord, now
from modelyard.flows.run_lock import hold_lock
from modelyard.machine.home import remove_tree

_GLANCE = 0.2


def run_flow(request: FlowRequest, engine: Engine, reporter: Reporter) -> dict[str, Any]:
    """Run what has changed; return the record of the run. Raises RunError that names the steps that failed."""
    prepared = prepare(request)
    runner = _find_runner(prepared, engine)
    with hold_lock(prepared.records.root, what="a run of this flow"):
        recover(prepared.records, runner)
        record = RunRecord.begin(prepared.records, _about(request, prepared, engine), _waiting_steps(prepared))
        run = FlowRun(
            request=request, prepared=prepared, engine=engine, runner=runner, reporter=reporter, record=record
        )
        try:
            run.run()
        except BaseException as error:
            is_stop = not isinstance(error, ModelyardError | OSError)
            record.end("interrupted" if is_stop else "failed", error=None if is_stop else str(error))
            _leave_report(record, reporter)
            raise
        finally:
            prepared.digests.save()
        failed = [name for name, step in record.run["steps"].items() if step["state"] == "failed"]
        record.end("failed" if failed else "succeeded")
        _leave_report(record, reporter)
        _send_to_tracking(request, record, reporter)
    if failed:
        raise RunError(_describe_failure(failed, record), hint=f"modelyard flow show {record.id}")
    return record.run


def _send_to_tracking(request: FlowRequest, record: RunRecord, reporter: Reporter) -> None:
    """Send a run to MLflow, where the user has one; that it can't be sent changes nothing of the run."""
    uri = request.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return
    from modelyard.commands.flow_mlflow import TrackingError, send_run

    try:
        id = send_run(record.run, record.trials, record.folder, uri=uri)
        reporter.note(f"MLflow has it as run {id}")
    except TrackingError as error:
        reporter.note(f"warning: {error}")


def _leave_report(record: RunRecord, reporter: Reporter) -> None:
    """Write the run's page; where that can't be, the run is what it is all the same."""
    from modelyard.commands.run_pages import write_report

    try:
        write_report(record.records, record.id)
    except OSError as error:
        reporter.note(f"no report.html: {error}")


def _find_runner(prepared: Prepared, engine: Engine) -> ContainerRunner | None:
    """The part of the engine that steps need; before anything runs."""
    if not any(step.run for step in prepared.flow.steps.values()):
        return None
    require_builder(engine)
    return require_runner(engine)


def recover(records: Records, runner: ContainerRunner | None) -> None:
    """End what runs that were killed have left, and say in their records how they ended."""
    for part in records.root.glob(".*.part"):
        if part.is_dir():
            remove_tree(part)
    for id in records.ids():
        run = records.read_run(id)
        if run["state"] != "running" and not (records.root / id / WORK).exists():
            continue
        from modelyard.commands.flow_work import end_left_commands  # most runs were not killed

        end_left_commands(records.root / id / WORK)
        if runner is not None:
            stop_left(runner, id)
        if run["state"] == "running":
            RunRecord(records, run).end("interrupted")
        remove_tree(records.root / id / WORK)


@dataclass
class FlowRun:
    """A run that goes on."""

    request: FlowRequest
    prepared: Prepared
    engine: Engine
    runner: ContainerRunner | None
    reporter: Reporter
    record: RunRecord
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    _running: dict["Future[Mapping[str, Any]]", Step] = field(default_factory=dict)

    def run(self) -> None:
        """Run to the end, or stop everything where something interrupts it."""
        records = self.prepared.records
        stopper = Stopper()
        records.keep_sources(self.prepared.sources.texts)
        waiting = dict(self.prepared.flow.steps)
        with ThreadPoolExecutor(self.request.most_jobs, thread_name_prefix="step") as pool:
            try:
                while waiting or self._running:
                    self._start_ready(waiting, pool, stopper)
                    done, _ = wait(self._running, timeout=_GLANCE, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._end(self._running.pop(future), future, waiting)
            except BaseException:
                stopper.stop_all()
                raise

    def _start_ready(self, waiting: dict[str, Step], pool: ThreadPoolExecutor, stopper: Stopper) -> None:
        is_new = True
        while is_new:  # a step that is reused makes others ready
            is_new = False
            ready = [step for step in waiting.values() if all(need in self.results for need in step.needs)]
            decided = [self.prepared.planner.decide(step, self.results) for step in ready]
            todo = [decision for decision in decided if decision.action == "run"]
            for decision in decided:
                if decision.action == "reuse":
                    del waiting[decision.step.name]
                    self._reuse(decision)
                    is_new = True
            if is_new:
                continue
            for decision in todo[: self.request.most_jobs - len(self._running)]:
                del waiting[decision.step.name]
                self._start(decision, pool, stopper, shared_by=len(todo) + len(self._running))

    def _reuse(self, decision: Decision) -> None:
        step, result = decision.step, decision.result or {}
        fields = {name: result[name] for name in ("outputs", "metrics", "curves", "result", "seconds", "attempts")}
        self.record.update(
            step.name,
            state="reused",
            key=decision.basis.key if decision.basis else None,
            made_by=result["run"],
            exit_code=0,
            inputs=self._describe_inputs(decision),
            **fields,
            **({"search": result["search"]} if step.search else {}),
        )
        if step.search:
            trials = [{**trial, "state": "reused" if trial["key"] else trial["state"]} for trial in result["trials"]]
            self.record.update_trials(step.name, trials)
        self.reporter.note(f"{step.name}: nothing has changed, reused")
        self._finish(step, result)

    def _start(self, decision: Decision, pool: ThreadPoolExecutor, stopper: Stopper, *, shared_by: int) -> None:
        from modelyard.commands.flow_steps import StepContext, run_step  # of most runs nothing is run
        from modelyard.commands.flow_work import Worker

        step = decision.step
        assert decision.basis is not None
        self.reporter.note(f"{step.name}: runs, as {'; '.join(decision.why)}")
        self.record.update(
            step.name,
            state="running",
            why=list(decision.why),
            key=decision.basis.key,
            made_by=self.record.id,
            started=now(),
            inputs=self._describe_inputs(decision),
            log=f"{step.name}/log",
        )
        context = StepContext(
            step=step,
            basis=decision.basis,
            prepared=self.prepared,
            record=self.record,
            worker=Worker(self.runner, self.prepared.records.artifacts, stopper),
            image=self._build(step),
            environ=self.request.environ,
            side_by_side=min(shared_by, self.request.most_jobs),
            inputs={name: self._input_path(step, name) for name in step.inputs},
            note=self.reporter.note,
            forced=step.name in self.request.forced,
        )
        self._running[pool.submit(run_step, context)] = step

    def _end(self, step: Step, future: "Future[Mapping[str, Any]]", waiting: dict[str, Step]) -> None:
        try:
            result = future.result()
        except Stopped:
            self.record.update(step.name, state="interrupted", ended=now())
            raise
        except ModelyardError as error:
            code = getattr(error, "code", None)
            self.record.update(step.name, state="failed", ended=now(), error=error.message, exit_code=code)
            self.reporter.note(f"{step.name}: failed: {error.message}")
            for name in self.prepared.flow.followers(step.name) & set(waiting):
                del waiting[name]
                self.record.update(name, state="skipped", error=f"{step.name} has failed")
            return
        self.record.update(step.name, state="succeeded", ended=now())
        shown = "  ".join(f"{name} {value:g}" for name, value in result["metrics"].items() if value is not None)
        self.reporter.note(f"{step.name}: done in {result['seconds']:.1f} s{f': {shown}' if shown else ''}")
        self._finish(step, result)

    def _finish(self, step: Step, result: Mapping[str, Any]) -> None:
        records = self.prepared.records
        records.note_last(step.name, str(self.record.run["steps"][step.name]["key"]))
        self._link(step, result)
        published = publish(step, result["outputs"], records.artifacts, self.prepared.flow.project)
        if published:
            self.reporter.note(f"{step.name}: published {', '.join(published)}")
        self.results[step.name] = result

    def _link(self, step: Step, result: Mapping[str, Any]) -> None:
        for about in result["outputs"].values():
            link = self.record.folder / step.name / about["file"]
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(f"../../artifacts/{about['digest']}")

    def _build(self, step: Step) -> str:
        if not step.run:
            return ""
        model = self.prepared.sources.models[step.name]
        if model.full_name not in self.images:
            build = BuildRequest(
                workspace=self.request.workspace,
                subject=model,
                kind="train",
                variant=self.request.variant,
                limits=self.request.limits,
            )
            self.images[model.full_name] = build_image(build, self.engine, self.reporter).id
            self.record.update_run(images=dict(self.images))
        return self.images[model.full_name]

    def _input_path(self, step: Step, name: str) -> Any:
        source = step.inputs[name]
        if source.step is None:
            return self.prepared.flow.project / source.path
        return self.prepared.records.artifacts.path(self.results[source.step]["outputs"][source.output]["digest"])

    def _describe_inputs(self, decision: Decision) -> dict[str, Any]:
        digests = decision.basis.inputs if decision.basis else {}
        return {
            name: {"from": source.text, "digest": digests.get(name)} for name, source in decision.step.inputs.items()
        }


def _waiting_steps(prepared: Prepared) -> dict[str, dict[str, Any]]:
    return {name: _waiting_step(step, prepared) for name, step in prepared.flow.steps.items()}


def _waiting_step(step: Step, prepared: Prepared) -> dict[str, Any]:
    model = prepared.sources.models.get(step.name)
    return {
        "state": "waiting",
        "needs": list(step.needs),
        "why": [],
        "key": None,
        "made_by": None,
        "started": None,
        "ended": None,
        "seconds": None,
        "attempts": 0,
        "exit_code": None,
        "error": None,
        "run": step.run,
        "command": step.command,
        "model": model.full_name if model else None,
        "params": prepared.config.pick(step.params),
        "inputs": {name: {"from": source.text, "digest": None} for name, source in step.inputs.items()},
        "outputs": {},
        "metrics": {},
        "curves": {},
        "result": None,
        "log": None,
    }


def _about(request: FlowRequest, prepared: Prepared, engine: Engine) -> dict[str, Any]:
    sets = {
        text.partition("=")[0].strip(): prepared.config.get(text.partition("=")[0].strip()) for text in request.sets
    }
    return {
        "project": prepared.flow.project.name,
        "engine": engine.name,
        "modelyard": __version__,
        "arguments": {
            "set": sets,
            "force": list(request.forced),
            "only": request.only,
            "jobs": request.most_jobs,
            "variant": request.variant,
        },
        "git": read_git(prepared.flow.project),
        "config": {group: dict(about) for group, about in prepared.config.values.items()},
        "images": {},
    }


def _describe_failure(failed: list[str], record: RunRecord) -> str:
    steps = record.run["steps"]
    skipped = [name for name, step in steps.items() if step["state"] == "skipped"]
    left = f"; not run: {', '.join(skipped)}" if skipped else ""
    return "\n".join(
        [f"{', '.join(failed)} failed{left} (run {record.id})", *(str(steps[name]["error"]) for name in failed)]
    )
