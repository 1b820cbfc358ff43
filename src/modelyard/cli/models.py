"""`modelyard data`, `train` and `generate`: what is done to model directories."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import Console, print_json, print_table
from modelyard.cli.distributed import distributed_options
from modelyard.cli.options import (
    directory_argument,
    dry_run_option,
    engine_option,
    json_option,
    limits_options,
    pass_settings,
    shared_memory_option,
    variant_option,
)
from modelyard.cli.settings import Settings
from modelyard.errors import InputError

if TYPE_CHECKING:
    from modelyard.commands.building import Limits
    from modelyard.commands.training import TrainRequest


@click.command("data")
@directory_argument
@click.option("--source", metavar="URL", help="Take the file or folder/ at this path or s3:// address instead.")
@pass_settings
def data_command(settings: Settings, directory: str, source: str | None) -> None:
    """Get the data of a project into its data/ folder, by its make_data.py.

    DIRECTORY is a project, or projects/ for every project that has a make_data.py.
    """
    from modelyard.commands.data import has_data_script, prepare_data
    from modelyard.commands.subject import find_projects

    projects = find_projects(settings.workspace, settings.locate(directory))
    if source is not None:
        from modelyard.commands.remote import pull_data

        pull_data(source, settings.workspace.projects_root / projects[0] / "data", Console(verbose=settings.verbose))
        return
    chosen = [project for project in projects if has_data_script(settings.workspace, project)] or projects
    for project in chosen:
        prepare_data(settings.workspace, project, Console(verbose=settings.verbose))


@click.command("train")
@click.argument("directories", nargs=-1, type=click.Path())
@click.option("--tag", help="The train image's tag. Default: <CONTAINER_NAME>-train.")
@click.option("--model-name", help="The model binary's name. Default: MODEL_NAME of the Makefile.")
@click.option("--dataset", help="The file below the project's data/. Default: DATASET_NAME of the Makefile.")
@click.option("--payload", help="msg.payload as a JSON object, in place of the one made of data set and model name.")
@click.option("--push", metavar="URL", help="Put the trained model at this path or address: s3://bucket/folder/name.")
@click.option(
    "--reuse", is_flag=True, help="Train only where source, payload or data changed since the binary was written."
)
@distributed_options
@click.option("--detach", is_flag=True, help="Train in the background; print the id of the job: modelyard job.")
@shared_memory_option
@limits_options
@variant_option
@engine_option
@dry_run_option
@json_option
@pass_settings
def train_command(settings: Settings, /, **options: Any) -> None:
    """Build the train image, run it, and write the model binary with its manifest into the project's models/.

    DIRECTORIES are model directories, projects, all/ or projects/; default the current folder.
    """
    from modelyard.commands.training import describe_train, train_model

    chosen = TrainOptions(**options)
    requests = chosen.ask(settings)
    if chosen.dry_run:
        click.echo("\n".join(line for request in requests for line in describe_train(request)))
        return
    opened = settings.open_engine(chosen.engine, quiet=chosen.as_json)
    console = Console(verbose=settings.verbose)
    if chosen.detach:
        from modelyard.commands.job_starting import start_job

        jobs = [start_job(request, opened, settings.environ, console) for request in requests]
        click.echo("\n".join(job.id for job in jobs)) if not chosen.as_json else print_json(
            [{"id": job.id} for job in jobs]
        )
        return
    results = [train_model(request, opened, console) for request in requests]
    if chosen.push is not None:
        from modelyard.commands.remote import push_model

        push_model(requests[0].models_folder, requests[0].binary_name, chosen.push, console)
    if chosen.as_json:
        print_json([vars(result) for result in results])
        return
    rows = [
        [result.model, "reused" if result.reused else "trained", _format_metrics(result.metrics)] for result in results
    ]
    print_table(["model", "", "metrics"], rows)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What was typed behind `modelyard train`."""

    directories: tuple[str, ...]
    tag: str | None
    model_name: str | None
    dataset: str | None
    payload: str | None
    push: str | None
    reuse: bool
    distributed: dict[str, Any]
    detach: bool
    limits: "Limits"
    variant: str
    engine: str | None
    dry_run: bool
    as_json: bool

    def ask(self, settings: Settings) -> "list[TrainRequest]":
        """What the command asks for: a training of each model; raise UsageError for a name that many would get."""
        from modelyard.commands.remote import check_target
        from modelyard.commands.subject import find_models
        from modelyard.commands.training import TrainRequest

        paths = [settings.locate(path) for path in self.directories or (".",)]
        models = dict.fromkeys(model for path in paths for model in find_models(settings.workspace, path))
        if len(models) > 1 and (self.tag or self.model_name or self.push):
            many = f"{len(models)} are to be trained"
            raise click.UsageError(f"--tag, --model-name and --push name one model, but {many}")
        if self.detach and (self.push or self.reuse):
            raise click.UsageError("--push and --reuse are for trainings that are waited for, not for --detach")
        if self.push is not None:
            check_target(self.push)
        return [
            TrainRequest(
                workspace=settings.workspace,
                model=model,
                tag=self.tag,
                model_name=self.model_name,
                dataset=self.dataset,
                payload=parse_payload(self.payload),
                variant=self.variant,
                reuse=self.reuse,
                distributed=self.distributed,
                limits=self.limits,
            )
            for model in models
        ]


@click.command("generate")
@directory_argument
@click.option("--models", help="The model directories to combine, separated by spaces. Default: MODEL_DIRS of all/.")
@click.option("--check", is_flag=True, help="Write nothing; fail with a diff where something would change.")
@click.option("--offline", is_flag=True, help="Do not ask the package index whether the requirements fit together.")
@dry_run_option
@pass_settings
def generate_command(
    settings: Settings, directory: str, models: str | None, check: bool, offline: bool, dry_run: bool
) -> None:
    """Write all/: the predict module, environment, requirements and setup.sh of one daemon for many models.

    DIRECTORY is a project or its all/; projects/ or the workspace's root stand for every project and projects/all.
    """
    from modelyard.commands.generating import generate_all

    changed = generate_all(
        settings.workspace,
        settings.locate(directory),
        names=models.split() if models is not None else None,
        check=check,
        offline=offline,
        dry_run=dry_run,
        reporter=Console(verbose=settings.verbose),
    )
    for line in changed:
        click.echo(line)


def parse_payload(text: str | None) -> dict[str, Any] | None:
    """Parse --payload; raise InputError for what is no JSON object."""
    if text is None:
        return None
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"--payload {text!r} is no JSON ({error})", hint='write an object: \'{"$ref": "data/x.csv"}\''
        ) from None
    if not isinstance(payload, dict):
        raise InputError(f"--payload {text!r} is no JSON object", hint='write an object: \'{"$ref": "data/x.csv"}\'')
    return payload


def _format_metrics(metrics: Any) -> str:
    return "  ".join(
        f"{name} {_format_number(value)}" for name, value in metrics.items() if isinstance(value, (int, float))
    )


def _format_number(value: float) -> str:
    """Four decimals, as scores are compared; what would be all zeros, such as a small loss, by its digits."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3g}"
