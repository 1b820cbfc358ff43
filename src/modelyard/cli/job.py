"""`modelyard job`: trainings in the background."""

import time
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import format_age, print_json, print_table
from modelyard.cli.options import json_option, not_negative, pass_settings, project_option
from modelyard.cli.settings import Settings
from modelyard.errors import ModelyardError

if TYPE_CHECKING:
    from modelyard.jobs.record import Job


@click.group("job")
def job_command() -> None:
    """Look at trainings in the background, stop and resume them: `modelyard train --detach` starts one.

    ID is the id of a job, its start, or <project>/<id>.
    """


@job_command.command("list")
@project_option
@json_option
@pass_settings
def list_command(settings: Settings, project: str | None, as_json: bool) -> None:
    """List the jobs of the workspace, or of one project, newest first."""
    jobs = look_at_all(settings, project)
    if as_json:
        print_json([_as_dict(job) for job in jobs])
        return
    print_table(
        ["id", "model", "state", "epoch", "loss", "accuracy", "workers", "started"], [_row(job) for job in jobs]
    )


@job_command.command("show")
@click.argument("id")
@json_option
@pass_settings
def show_command(settings: Settings, id: str, as_json: bool) -> None:
    """Show everything about a job."""
    job = find_true(settings, id)
    if as_json:
        print_json(_as_dict(job))
        return
    print_table(["", ""], [[name, text] for name, text in _describe(job) if text])


@job_command.command("logs")
@click.argument("id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@pass_settings
def logs_command(settings: Settings, id: str, follow: bool) -> None:
    """Show what a job printed."""
    show_log(settings, id, follow=follow)


@job_command.command("stop")
@click.argument("ids", nargs=-1, required=True)
@click.option(
    "--grace", type=not_negative, default=120.0, show_default=True, help="Seconds until it is killed, if it has to be."
)
@pass_settings
def stop_command(settings: Settings, ids: tuple[str, ...], grace: float) -> None:
    """Have jobs finish their round, save and end; `resume` has them go on."""
    stop_jobs(settings, ids, grace=grace)


@job_command.command("resume")
@click.argument("id")
@pass_settings
def resume_command(settings: Settings, id: str) -> None:
    """Start a job again that was stopped, failed or lost, under the same id; a kubeml training goes on where it was."""
    from modelyard.commands.jobs import resume_job

    click.echo(resume_job(find_true(settings, id), settings.environ).id)


@job_command.command("ui")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port. Default: any that is free.")
@pass_settings
def ui_command(settings: Settings, port: int) -> None:
    """Serve a page that shows the jobs and their epochs live, to this machine alone, until Ctrl-C.

    It changes nothing. `/metrics` has the gauges of all jobs, for Prometheus.
    """
    from modelyard.commands.job_ui import make_routes
    from modelyard.commands.page_server import address_of, open_server

    with open_server(make_routes(settings.workspace.projects_root, settings.environ), port=port) as server:
        click.echo(address_of(server))
        server.serve_forever()


@job_command.command("prune")
@project_option
@pass_settings
def prune_command(settings: Settings, project: str | None) -> None:
    """Forget the jobs that have ended, and remove their logs; their history stays."""
    prune_jobs(settings, project)


def look_at_all(settings: Settings, project: str | None) -> "list[Job]":
    """The jobs of a project, or of all, as they truly stand, newest first."""
    from modelyard.commands.jobs import look_at
    from modelyard.commands.subject import choose_project
    from modelyard.jobs.shelf import find_jobs

    workspace = settings.workspace
    chosen = choose_project(workspace, project, start=settings.directory).name if project else None
    return [look_at(job, settings.environ) for job in reversed(find_jobs(workspace.projects_root, chosen))]


def find_true(settings: Settings, id: str) -> "Job":
    """The job of an id, as it truly stands."""
    from modelyard.commands.jobs import look_at
    from modelyard.jobs.shelf import find_job

    return look_at(find_job(settings.workspace.projects_root, id), settings.environ)


def show_log(settings: Settings, id: str, *, follow: bool) -> None:
    """Print the log of a job."""
    from modelyard.commands.jobs import follow_log

    job = find_true(settings, id)
    if follow:
        for line in follow_log(job, settings.environ):
            click.echo(line)
    elif job.log.exists():
        click.echo(job.log.read_text(encoding="utf-8", errors="replace"), nl=False)


def stop_jobs(settings: Settings, ids: tuple[str, ...], *, grace: float) -> None:
    """Stop jobs and say how each ended; raise where one is still there."""
    from modelyard.commands.jobs import stop_job

    late = []
    for id in ids:
        job = stop_job(find_true(settings, id), settings.environ, grace=grace)
        click.echo(f"{job.id} {job.state}" + (f": {job.reason}" if job.reason else ""))
        if not job.has_ended:
            late.append(job.id)
    if late:
        raise ModelyardError(f"{', '.join(late)}: not ended yet", hint=f"look again: modelyard job show {late[0]}")


def prune_jobs(settings: Settings, project: str | None) -> None:
    """Forget ended jobs, and name them."""
    from modelyard.jobs.shelf import forget

    for job in look_at_all(settings, project):
        if job.has_ended:
            forget(job)
            click.echo(job.id)


def _as_dict(job: "Job") -> dict[str, Any]:
    from modelyard.jobs.events import read_events

    events = read_events(job.events)
    content = {key: value for key, value in job.as_dict().items() if key != "variables"}
    return {**content, "stopping": job.is_stopping, "task": events.task, "last": events.last}


def _row(job: "Job") -> list[str]:
    from modelyard.jobs.events import number, read_events

    events = read_events(job.events)
    epochs = f"{len(events.epochs)}/{events.planned}" if events.planned else str(len(events.epochs) or "")
    accuracy = number(events.last, "accuracy")
    metric = job.metrics.get("accuracy")
    figures = [number(events.last, "train_loss"), accuracy if accuracy is not None else metric]
    shown = [f"{value:.4f}" if isinstance(value, int | float) else "" for value in figures]
    workers = events.last.get("parallelism") or events.task.get("parallelism") or ""
    return [
        job.id,
        job.model,
        describe_state(job),
        epochs,
        *shown,
        str(workers),
        format_age(job.started or job.created),
    ]


def describe_state(job: "Job") -> str:
    """The state of a job in a word."""
    return "stopping" if job.is_stopping else job.state


def _describe(job: "Job") -> list[tuple[str, str]]:
    from modelyard.jobs.events import read_events

    events = read_events(job.events)
    took = (job.ended or time.time()) - (job.started or job.created)
    last = ", ".join(f"{key} {value}" for key, value in events.last.items() if key not in ("event", "time"))
    return [
        ("id", job.id),
        ("model", f"{job.model} as {job.model_name}"),
        ("state", describe_state(job)),
        ("reason", job.reason or ""),
        ("started", format_age(job.started or job.created) + (f", {job.starts} times" if job.starts > 1 else "")),
        ("took" if job.ended else "for", f"{took:.1f} s"),
        ("engine", f"{job.engine}, container {job.container}"),
        ("payload", str(job.run.get("payload"))),
        ("epochs", f"{len(events.epochs)} of {events.planned}" if events.planned else str(len(events.epochs) or "")),
        ("last epoch", last),
        ("restarts", str(len(events.restarts) or "")),
        ("metrics", ", ".join(f"{key} {value}" for key, value in job.metrics.items())),
        ("exit code", "" if job.exit_code is None else str(job.exit_code)),
        ("folder", str(job.folder)),
    ]
