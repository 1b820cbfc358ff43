"""The process that attends to one job: starts it, keeps its log, stops it when asked, and writes down how it ended.

It holds the job's folder while it lives (`jobs.shelf.held`). Where it is killed the training goes on; the next command
that looks at the job starts another of these, which takes over.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.commands.function_run import FunctionRun
    from modelyard.engines.protocols import Container, ContainerRunner, Engine
    from modelyard.jobs.record import Job

_POLL = 0.2
_TAIL = 200


def main(arguments: list[str]) -> int:
    """Go on in the background, away from the terminal, with the folder that the caller holds."""
    if os.fork():
        os._exit(0)
    os.setsid()
    from modelyard.jobs.record import read_job, write_job

    job = read_job(Path(arguments[0]))
    if job is None:
        return 1
    try:
        watch(job, os.environ, starts=arguments[1:] == ["start"])
    except Exception as error:
        hint = getattr(error, "hint", None)
        reason = f"{getattr(error, 'message', repr(error))}" + (f" (hint: {hint})" if hint else "")
        print(f"{type(error).__name__}: {reason}", file=sys.stderr, flush=True)
        if job.state == "starting":
            write_job(job, state="failed", reason=reason, ended=time.time())
        return 1
    return 0


def watch(job: "Job", environ: Mapping[str, str], *, starts: bool) -> "Job":
    """Attend to a job until it has ended, and return it as it ended; `starts` has it started first."""
    from modelyard.engines import open_engine
    from modelyard.engines.parts import require_runner
    from modelyard.jobs.record import write_job

    engine = open_engine(job.engine, {**environ, **job.variables})
    runner = require_runner(engine)
    run = as_run(job)
    if starts:
        runner.start(run.container)
    container = find_container(runner, job)
    if container is not None and (starts or container.status == "running"):
        job = write_job(job, state="running", started=job.started or time.time(), watcher=os.getpid())
    lines: deque[str] = deque(maxlen=_TAIL)
    with tending(job, environ):
        for line in _keep_log(job, runner):
            lines.append(line)
    ended = find_container(runner, job)
    job = settle(job, run, ended, tuple(lines))
    _remove(engine, job)
    return job


def as_run(job: "Job") -> "FunctionRun":
    """The run of a function that a job is."""
    from modelyard.commands.function_run import FunctionRun
    from modelyard.engines.protocols import Mount
    from modelyard.workspace import ModelDirectory

    def mount(source: str, target: str, read_only: bool) -> Mount:
        return Mount(source=Path(source), target=target, read_only=read_only)

    run = job.run
    return FunctionRun(
        subject=ModelDirectory(Path(run["path"])),
        image=run["image"],
        payload=run["payload"],
        output=mount(*run["output"]),
        inputs=[mount(*one) for one in run["inputs"]],
        environment=run["environment"],
        id=job.id,
        name=job.container,
    )


def find_container(runner: "ContainerRunner", job: "Job") -> "Container | None":
    """The container of a job, None where the engine has none."""
    return next((one for one in runner.containers(all=True) if one.name == job.container), None)


@contextmanager
def tending(job: "Job", environ: Mapping[str, str]) -> Iterator[None]:
    """Have a thread keep the gauges and stop the job once it is asked to; in the end, wait for it."""
    is_over = threading.Event()
    thread = threading.Thread(target=_tend, args=(job, environ, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _tend(job: "Job", environ: Mapping[str, str], is_over: threading.Event) -> None:
    told = 0
    while not is_over.wait(_POLL):
        size = job.events.stat().st_size if job.events.exists() else 0
        if size != told:
            told = size
            write_gauges(job)
        if job.stop_file.exists() and _stop(job, environ):
            return


def _stop(job: "Job", environ: Mapping[str, str]) -> bool:
    """Stop the container of a job; tell whether that is done, also where it had ended by itself."""
    from modelyard.engines import open_engine
    from modelyard.engines.parts import require_runner
    from modelyard.errors import EngineError

    try:
        # An engine of its own: the other one reads the log in another thread.
        runner = require_runner(open_engine(job.engine, {**environ, **job.variables}))
        container = find_container(runner, job)
        if container is not None and container.status == "running":
            runner.stop(job.container, grace=read_grace(job))
    except EngineError as error:
        print(f"it could not be stopped yet: {error.message}", file=sys.stderr, flush=True)
        return False
    return True


def write_gauges(job: "Job") -> None:
    """Write what the last epoch told as gauges, for whoever collects such files; a full disk stops nobody."""
    from modelyard.jobs.history import format_gauges, read_history

    path = job.folder / "metrics.prom"
    part = path.with_name(".metrics.prom.part")
    with suppress(OSError):
        part.write_text(format_gauges([read_history(job)]), encoding="utf-8")
        part.replace(path)


def read_grace(job: "Job") -> float:
    """The seconds that a job gets to end."""
    try:
        return float(job.stop_file.read_text())
    except (OSError, ValueError):
        return 0.0


def _keep_log(job: "Job", runner: "ContainerRunner") -> Iterator[str]:
    """Write the lines of the container into the job's log, those that are there already left out."""
    from modelyard.errors import EngineError

    known = _count_whole_lines(job.log) - job.log_lines
    try:
        with job.log.open("ab", buffering=0) as log:
            for number, line in enumerate(runner.logs(job.container, follow=True)):
                yield line
                if number >= known:
                    with suppress(OSError):  # on a full disk the log is not whole; the training goes on
                        log.write(line.encode(errors="replace") + b"\n")
    except EngineError as error:
        if find_container(runner, job) is not None:
            raise
        print(f"the container is gone: {error.message}", file=sys.stderr, flush=True)


def _count_whole_lines(log: Path) -> int:
    """Count the lines of a log, after half a line at its end is cut off."""
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return 0
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(log, whole)
    return content.count(b"\n")


def settle(job: "Job", run: "FunctionRun", ended: "Container | None", lines: tuple[str, ...]) -> "Job":
    """Write down how a job ended, with its result and the metrics of the model binary."""
    from modelyard.commands.function_run import Outcome
    from modelyard.commands.manifest import read_manifest
    from modelyard.errors import ModelyardError
    from modelyard.jobs.ending import decide_ending
    from modelyard.jobs.events import read_events
    from modelyard.jobs.record import write_job

    code = ended.exit_code if ended is not None else None
    events = read_events(job.events)
    ending = decide_ending(code, events, was_asked_to_stop=job.stop_file.exists())
    state, reason, result, metrics = ending.state, ending.reason, None, {}
    try:
        if code is not None:
            result = Outcome(run=run, code=code, lines=lines, text=run.read_result(lines)).result
    except ModelyardError as error:
        if state == "finished" or (state == "failed" and events.end is None):
            state, reason = "failed", error.message
    if state in ("finished", "stopped"):
        with suppress(ModelyardError):
            metrics = dict((read_manifest(run.output.source, job.model_name) or {}).get("metrics") or {})
    run.sweep()
    write_gauges(job)
    return write_job(job, state=state, reason=reason, result=result, metrics=metrics, exit_code=code, ended=time.time())


def _remove(engine: "Engine", job: "Job") -> None:
    from modelyard.engines.protocols import Remover
    from modelyard.errors import EngineError

    if isinstance(engine, Remover):
        with suppress(EngineError):
            engine.remove_container(job.container)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
