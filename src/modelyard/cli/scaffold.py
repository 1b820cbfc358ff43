"""`modelyard init` and `modelyard new`."""

from typing import TYPE_CHECKING

import click

from modelyard.cli.options import pass_settings
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.codegen.scaffold import Framework


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@pass_settings
def init_command(settings: Settings, folder: str) -> None:
    """Make a workspace in FOLDER: builders/, shared sources (common_utils/, utils/, kubeml/), build.sh, a Makefile."""
    from modelyard.codegen.scaffold import init_workspace

    workspace = init_workspace(settings.path(folder))
    click.echo(f"{workspace.root} is a workspace now. Next: modelyard new model my_project my_model")


@click.group("new")
def new_command() -> None:
    """Make a project or a model directory that works at once."""


@new_command.command("project")
@click.argument("name")
@pass_settings
def new_project_command(settings: Settings, name: str) -> None:
    """Make the project NAME."""
    from modelyard.codegen.scaffold import new_project

    click.echo(new_project(settings.workspace, name))


@new_command.command("model")
@click.argument("project")
@click.argument("name")
@click.option(
    "--framework",
    type=click.Choice(["sklearn", "xgboost", "catboost", "torch", "kubeml"]),
    default="sklearn",
    show_default=True,
    help="What it is written in.",
)
@pass_settings
def new_model_command(settings: Settings, project: str, name: str, framework: "Framework") -> None:
    """Make the model directory NAME in PROJECT; it trains, serves and passes its own test as it stands."""
    from modelyard.codegen.scaffold import new_model

    model = new_model(settings.workspace, project, name, framework)
    click.echo(f"{model.path}\nNext: make -C {model.path} train predict test-endpoint stop")
