"""`modelyard kubeml`: the command words and flags of the original kubeml, so that its users' scripts run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import Console, print_json
from modelyard.cli.dataset import create_in, delete_in, list_in
from modelyard.cli.history import delete_histories, find_history
from modelyard.cli.job import look_at_all, prune_jobs, show_log, stop_jobs
from modelyard.cli.options import engine_option, pass_settings
from modelyard.cli.settings import Settings
from modelyard.errors import WorkspaceError

if TYPE_CHECKING:
    from modelyard.workspace import ModelDirectory

PROJECT = "functions"
_META = "modelyard.kubeml.project"
_ID = click.option("--id", "id", required=True, help="The id that `train` printed.")
_NETWORK = click.option("--network", "--id", "id", required=True, help="The id that `train` printed.")


@click.group("kubeml")
@click.option(
    "--project", metavar="NAME", help=f"Default: that of the current folder, else {PROJECT}, which is made on use."
)
@click.pass_context
def kubeml_command(context: click.Context, project: str | None) -> None:
    """Take the commands of the original kubeml: functions, data sets, trainings, histories, with the same flags.

    A function is a model directory of the project, a data set lies in its data/, a task is a job.
    """
    context.meta[_META] = project


@kubeml_command.command("train")
@click.option("-f", "--function", required=True, help="The function to train.")
@click.option("-d", "--dataset", required=True, help="The data set, which the function's KubeDataset names.")
@click.option("-e", "--epochs", type=click.IntRange(min=1), default=1, show_default=True, help="Passes over the data.")
@click.option("-b", "--batch", type=click.IntRange(1, 1024), default=64, show_default=True, help="Rows of a step.")
@click.option("--lr", type=float, default=0.01, show_default=True, help="The learning rate.")
@click.option("-p", "--parallelism", type=click.IntRange(min=1), help="Workers to begin with. Default: 1.")
@click.option("--static", is_flag=True, help="Keep the number of workers.")
@click.option("-k", "--K", "k", type=int, help="Steps between two averagings; -1, the default, is once an epoch.")
@click.option("--sparse-avg", is_flag=True, help="Average once an epoch, whatever --K says.")
@click.option("--validate-every", type=click.IntRange(min=0), help="Epochs between two validations.")
@click.option("--goal-accuracy", type=float, help="End when validation gets this far.")
@engine_option
@pass_settings
def train_command(
    settings: Settings, /, function: str, dataset: str, engine: str | None, sparse_avg: bool, **options: Any
) -> None:
    """Train a function in the background; print the id of the task."""
    import secrets

    from modelyard.commands.job_starting import start_job
    from modelyard.commands.training import TrainRequest
    from modelyard.datasets.library import find_dataset

    model = _find_function(settings, function)
    find_dataset(model.path.parent / "data", dataset)
    told = {key: value for key, value in options.items() if value not in (None, False)}
    request = TrainRequest(
        workspace=settings.workspace,
        model=model,
        model_name=f"{model.model_name}_{secrets.token_hex(4)}",  # each training has its own network, as the id of it
        dataset=f"{dataset}/manifest.json",
        distributed={**told, "dataset": dataset, **({"k": -1} if sparse_avg else {})},
    )
    opened = settings.open_engine(engine, quiet=True)
    click.echo(start_job(request, opened, settings.environ, Console(verbose=settings.verbose)).id)


@kubeml_command.command("infer")
@click.option("-n", "--network", "id", required=True, help="The id that `train` printed.")
@click.option("--datafile", required=True, help="A JSON file with a list of what to infer.")
@engine_option
@pass_settings
def infer_command(settings: Settings, id: str, datafile: str, engine: str | None) -> None:
    """Print what the network of a task infers of a file."""
    from modelyard.commands.inferring import infer, read_data

    job = find_history(settings, id).job
    data = read_data(settings.path(datafile))
    model = settings.workspace.model_directory(settings.workspace.projects_root / job.model)
    opened = settings.open_engine(engine or job.engine, quiet=True)
    console = Console(verbose=settings.verbose)
    print_json(infer(settings.workspace, model, job.model_name, data, opened, console))


@kubeml_command.group("dataset")
def dataset_command() -> None:
    """Create, list and delete data sets."""


@dataset_command.command("create")
@click.option("-n", "--name", required=True, help="What KubeDataset(name) says.")
@click.option("--traindata", required=True, help="The samples to train on.")
@click.option("--trainlabels", required=True, help="Their labels.")
@click.option("--testdata", required=True, help="The samples to validate with.")
@click.option("--testlabels", required=True, help="Their labels.")
@pass_settings
def dataset_create_command(settings: Settings, /, name: str, **files: str) -> None:
    """Create a data set of four files of arrays."""
    create_in(settings, _project(settings) / "data", name, files)


@dataset_command.command("list")
@pass_settings
def dataset_list_command(settings: Settings) -> None:
    """List the data sets."""
    list_in(_project(settings) / "data", as_json=False)


@dataset_command.command("delete")
@click.option("-n", "--name", required=True, help="Which one.")
@pass_settings
def dataset_delete_command(settings: Settings, name: str) -> None:
    """Delete a data set."""
    delete_in(_project(settings) / "data", name)


@click.group("function")
def function_command() -> None:
    """Create, list and delete functions: model directories that are made of a function file."""


kubeml_command.add_command(function_command, "function")
kubeml_command.add_command(function_command, "fn")


@function_command.command("create")
@click.option("-n", "--name", required=True, help="What to call it.")
@click.option("-c", "--code", required=True, help="The function file, which has a main().")
@pass_settings
def function_create_command(settings: Settings, name: str, code: str) -> None:
    """Make a model directory of a function file."""
    from modelyard.codegen.functions import new_function

    click.echo(new_function(settings.workspace, _project(settings).name, name, settings.path(code)).path)


@function_command.command("list")
@pass_settings
def function_list_command(settings: Settings) -> None:
    """List the functions."""
    from modelyard.codegen.functions import find_functions

    for model in find_functions(settings.workspace, _project(settings).name):
        click.echo(model.name)


@function_command.command("delete")
@click.option("-n", "--name", required=True, help="Which one.")
@pass_settings
def function_delete_command(settings: Settings, name: str) -> None:
    """Delete a function, its file with it; networks that it trained stay."""
    from modelyard.machine.home import remove_tree

    model = _find_function(settings, name)
    remove_tree(model.path)
    click.echo(model.path)


@kubeml_command.group("task")
def task_command() -> None:
    """List, stop and prune tasks."""


@task_command.command("list")
@click.option("--short", is_flag=True, help="Ids alone.")
@pass_settings
def task_list_command(settings: Settings, short: bool) -> None:
    """List the tasks that run; who has ended is in `history list`."""
    from modelyard.jobs.history import as_request, read_history

    running = [job for job in look_at_all(settings, None) if not job.has_ended]
    if short:
        for job in running:
            click.echo(job.id)
        return
    rows = []
    for job in running:
        task = as_request(job, read_history(job).events.task or job.run["payload"])
        keys = ("function_name", "dataset", "model_type", "epochs", "batch_size", "lr")
        rows.append([job.id, *(_text(task[key]) for key in keys)])
    _print_columns(["NAME", "FUNCTION", "DATASET", "MODEL", "EPOCHS", "BATCH", "LR"], rows)


@task_command.command("stop")
@_ID
@pass_settings
def task_stop_command(settings: Settings, id: str) -> None:
    """Have a task finish its round, save and end."""
    stop_jobs(settings, (id,), grace=120.0)


@task_command.command("prune")
@pass_settings
def task_prune_command(settings: Settings) -> None:
    """Forget the tasks that have ended; their histories stay."""
    prune_jobs(settings, None)


@kubeml_command.group("history")
def history_command() -> None:
    """Get, list, delete and prune the histories of tasks."""


@history_command.command("get")
@_NETWORK
@pass_settings
def history_get_command(settings: Settings, id: str) -> None:
    """Print the history of a task, as JSON in the original's form."""
    print_json(find_history(settings, id).as_original())


@history_command.command("list")
@pass_settings
def history_list_command(settings: Settings) -> None:
    """List the histories."""
    from modelyard.jobs.history import as_request

    rows = []
    for history in _histories(settings):
        task = as_request(history.job, history.events.task)
        lasts = [(history.points(name)[1] or [float("nan")])[-1] for name in ("accuracy", "validation_loss")]
        options = [task["model_type"], task["dataset"], task["epochs"], task["batch_size"], task["lr"]]
        how = [history.mean_parallelism, task["options"]["static_parallelism"]]
        rows.append([_text(value) for value in (history.job.id, *options, *how, *lasts, round(history.seconds, 3))])
    titles = [
        "NAME",
        "MODEL",
        "DATASET",
        "EPOCHS",
        "BATCH",
        "LR",
        "PARALLELISM",
        "STATIC",
        "ACCURACY",
        "LOSS",
        "TIME (s)",
    ]
    _print_columns(titles, rows)


@history_command.command("delete")
@_NETWORK
@pass_settings
def history_delete_command(settings: Settings, id: str) -> None:
    """Delete the history of a task that has ended."""
    delete_histories(settings, (id,))


@history_command.command("prune")
@pass_settings
def history_prune_command(settings: Settings) -> None:
    """Delete the histories of all tasks that have ended."""
    delete_histories(
        settings, tuple(f"{one.job.project}/{one.job.id}" for one in _histories(settings) if one.job.has_ended)
    )


@kubeml_command.command("logs")
@_ID
@click.option("-f", "--follow", is_flag=True, help="Go on until the task ends.")
@pass_settings
def logs_command(settings: Settings, id: str, follow: bool) -> None:
    """Show what a task printed."""
    show_log(settings, id, follow=follow)


kubeml_command.add_command(logs_command, "log")


def _project(settings: Settings) -> Path:
    """The project that is named, else that of the current folder, else the usual one, made where it is missing."""
    from modelyard.codegen.scaffold import new_project
    from modelyard.commands.subject import choose_project

    named = click.get_current_context().meta.get(_META)
    workspace = settings.workspace
    is_inside = (
        settings.directory.is_relative_to(workspace.projects_root) and settings.directory != workspace.projects_root
    )
    if named or is_inside:
        return choose_project(workspace, named, start=settings.directory)
    folder = workspace.projects_root / PROJECT
    return folder if folder.is_dir() else new_project(workspace, PROJECT)


def _find_function(settings: Settings, name: str) -> "ModelDirectory":
    from modelyard.codegen.functions import as_folder_name, find_functions

    project = _project(settings)
    found = {model.name: model for model in find_functions(settings.workspace, project.name)}
    if as_folder_name(name) not in found:
        raise WorkspaceError(
            f"{project}: there is no function {name!r} (functions here: {', '.join(found) or 'none'})",
            hint="make it: modelyard kubeml function create --name NAME --code FILE",
        )
    return found[as_folder_name(name)]


def _histories(settings: Settings) -> list[Any]:
    from modelyard.jobs.history import read_history
    from modelyard.jobs.shelf import find_jobs

    return [read_history(job) for job in reversed(find_jobs(settings.workspace.projects_root, pruned=True))]


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _print_columns(titles: list[str], rows: list[list[str]]) -> None:
    """Columns two blanks apart, as the original prints them, for scripts that cut lines."""
    widths = [max(len(row[index]) for row in (titles, *rows)) for index in range(len(titles))]
    for row in (titles, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
