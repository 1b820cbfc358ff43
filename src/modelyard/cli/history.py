"""`modelyard history`: what trainings in the background went through."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import print_json, print_table
from modelyard.cli.options import json_option, pass_settings, project_option
from modelyard.cli.settings import Settings
from modelyard.errors import InputError

if TYPE_CHECKING:
    from modelyard.jobs.history import History

_FORMATS = ("csv", "json", "prometheus", "tensorboard")


@click.group("history")
def history_command() -> None:
    """Show, draw and export what trainings in the background went through, epoch by epoch."""


@history_command.command("list")
@project_option
@json_option
@pass_settings
def list_command(settings: Settings, project: str | None, as_json: bool) -> None:
    """List the histories of the workspace, or of one project, newest first."""
    from modelyard.commands.subject import choose_project
    from modelyard.jobs.history import read_history
    from modelyard.jobs.shelf import find_jobs

    workspace = settings.workspace
    chosen = choose_project(workspace, project, start=settings.directory).name if project else None
    histories = [read_history(job) for job in reversed(find_jobs(workspace.projects_root, chosen, pruned=True))]
    if as_json:
        print_json([history.as_dict() for history in histories])
        return
    columns = ["id", "model", "state", "epochs", "batch", "lr", "workers", "accuracy", "loss", "time (s)"]
    print_table(columns, [_row(history) for history in histories])


@history_command.command("show")
@click.argument("id")
@json_option
@pass_settings
def show_command(settings: Settings, id: str, as_json: bool) -> None:
    """Show the epochs of a job."""
    from modelyard.jobs.history import COLUMNS

    history = find_history(settings, id)
    if as_json:
        print_json(history.as_dict())
        return
    rows = [[_format(value) for value in row] for row in zip(*(history.column(name) for name in COLUMNS), strict=True)]
    print_table([name.replace("_", " ") for name in COLUMNS], rows)


@history_command.command("plot")
@click.argument("ids", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="The picture: .png, .svg or .pdf. Default: <ID>.png here.")
@pass_settings
def plot_command(settings: Settings, ids: tuple[str, ...], output: str | None) -> None:
    """Draw loss, accuracy, parallelism and time of the epochs of one job, or of several into one picture."""
    from modelyard.commands.job_plots import plot_histories

    histories = [find_history(settings, id) for id in ids]
    path = settings.path(output or f"{histories[0].job.id}.png")
    plot_histories(histories, path)
    click.echo(path)


@history_command.command("export")
@click.argument("id")
@click.option("--format", "kind", type=click.Choice(_FORMATS), default="csv", show_default=True, help="Of what kind.")
@click.option("-o", "--output", metavar="PATH", help="Write it there; for tensorboard a folder. Default: print it.")
@pass_settings
def export_command(settings: Settings, id: str, kind: str, output: str | None) -> None:
    """Write the epochs of a job for other tools: a table, JSON, gauges for Prometheus, TensorBoard's event file."""
    history = find_history(settings, id)
    if kind == "tensorboard":
        from modelyard.commands.job_plots import write_tensorboard

        if output is None:
            raise InputError("an event file is no text to print", hint="name the folder for it: --output runs")
        write_tensorboard(history, settings.path(output))
        return
    text = _as_text(history, kind)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(settings.path(output), text)


@history_command.command("delete")
@click.argument("ids", nargs=-1, required=True)
@pass_settings
def delete_command(settings: Settings, ids: tuple[str, ...]) -> None:
    """Delete ended jobs with their histories; the model binaries stay."""
    delete_histories(settings, ids)


def find_history(settings: Settings, id: str) -> "History":
    """The history of an id, also of a job that was pruned."""
    from modelyard.jobs.history import read_history
    from modelyard.jobs.shelf import find_job

    return read_history(find_job(settings.workspace.projects_root, id, pruned=True))


def delete_histories(settings: Settings, ids: tuple[str, ...]) -> None:
    """Delete them all, or none where one still runs."""
    from modelyard.commands.jobs import look_at
    from modelyard.jobs.shelf import remove

    jobs = {job.folder: job for id in ids for job in [look_at(find_history(settings, id).job, settings.environ)]}
    for job in jobs.values():
        if not job.has_ended:
            raise InputError(f"job {job.id} is {job.state}", hint=f"stop it first: modelyard job stop {job.id}")
    for job in jobs.values():
        remove(job)
        click.echo(job.id)


def _row(history: "History") -> list[str]:
    job, task = history.job, history.events.task
    lasts = [history.points(name)[1][-1:] for name in ("accuracy", "validation_loss")]
    figures = [history.mean_parallelism, *(values[0] if values else None for values in lasts)]
    options = [str(task.get(key, "")) for key in ("batch", "lr")]
    epochs = str(len(history.events.epochs))
    return [job.id, job.model, job.state, epochs, *options, *map(_format, figures), f"{history.seconds:.1f}"]


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


def _as_text(history: "History", kind: str) -> str:
    import json

    from modelyard.jobs.history import format_gauges

    if kind == "csv":
        return history.as_csv()
    return json.dumps(history.as_dict(), indent=2) + "\n" if kind == "json" else format_gauges([history])


def _write(path: Path, text: str) -> None:
    """Whole or not at all: others, such as a node exporter, read it at any time."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
