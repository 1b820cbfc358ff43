"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from modelyard.cli.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

pass_settings = click.make_pass_decorator(Settings)

engine_option = click.option(
    "--engine",
    metavar="NAME",
    help="local, docker, podman, or auto: the first that answers, else local. Default: $MODELYARD_ENGINE, else auto.",
)
variant_option = click.option(
    "--variant",
    type=click.Choice(["cpu", "cuda"]),
    envvar="VARIANT",
    default="cpu",
    show_default=True,
    help="Which builders/<variant>.args to build with.",
)
locked_option = click.option(
    "--locked", is_flag=True, envvar="MODELYARD_LOCKED", help="Fail unless the requirements have fresh lock files."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the plan; start no engine.")
host_option = click.option("--host", default="127.0.0.1", show_default=True, envvar="MODELYARD_HOST", help="Address.")
port_option = click.option(
    "--port", type=click.IntRange(1, 65535), default=5111, show_default=True, envvar="MODELYARD_PORT", help="Port."
)


def directory_argument(command: Command) -> Command:
    """DIRECTORY: a model directory, project, all/ or projects/; default the current folder."""
    return click.argument("directory", default=".", type=click.Path())(command)
