"""Options that several commands share."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import click

from modelyard.cli.settings import Settings
from modelyard.errors import InputError

_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmgt])?(?P<binary>i)?b?", re.IGNORECASE)
Command = TypeVar("Command", bound=Callable[..., Any])

pass_settings = click.make_pass_decorator(Settings)

not_negative = click.FloatRange(min=0)
engine_option = click.option(
    "--engine",
    metavar="NAME",
    help="local, docker, podman, oci, or auto: the first that answers, else local. $MODELYARD_ENGINE, else auto.",
)
variant_option = click.option(
    "--variant",
    type=click.Choice(["cpu", "cuda"]),
    envvar="VARIANT",
    default="cpu",
    show_default=True,
    help="Which builders/<variant>.args to build with.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
project_option = click.option(
    "-p",
    "--project",
    metavar="NAME",
    help="The project. Default: that of the current folder, else the only one.",
)
variables_option = click.option(
    "-e", "--env", "variables", multiple=True, metavar="KEY=VALUE", help="Set a variable of the container."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the plan; start no engine.")
host_option = click.option("--host", default="127.0.0.1", show_default=True, envvar="MODELYARD_HOST", help="Address.")
port_option = click.option(
    "--port", type=click.IntRange(1, 65535), default=5111, show_default=True, envvar="MODELYARD_PORT", help="Port."
)


class Size(click.ParamType[int]):
    """A number of bytes, with a unit or without: `500MB` of a million each, `2GiB` of 1024 times 1024 times 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it."""
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size: write 500MB, 2GiB or a number of bytes", param, ctx)
        base = 1024 if match["binary"] else 1000
        power = " kmgt".index((match["unit"] or " ").lower())
        return round(float(match["number"]) * int(base**power))


def _keep_shared_memory(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    """Hand it to the engine, by the variable that it reads."""
    settings = context.find_object(Settings)
    if value is not None and settings is not None:
        context.obj = replace(settings, environ={**settings.environ, "MODELYARD_SHM_SIZE": str(value)})


shared_memory_option = click.option(
    "--shm-size",
    type=Size(),
    envvar="MODELYARD_SHM_SIZE",
    expose_value=False,
    callback=_keep_shared_memory,
    help="What /dev/shm of the container may hold (docker, podman): 2GiB. Default: the engine's, most often 64 MiB.",
)


def limits_options(command: Command) -> Command:
    """What a build must not do, and may, as the command's `limits`: `--locked`, `--max-size` and `--run-setup`."""

    @click.option(
        "--locked", is_flag=True, envvar="MODELYARD_LOCKED", help="Fail unless the requirements have fresh lock files."
    )
    @click.option(
        "--max-size", type=Size(), envvar="MODELYARD_MAX_SIZE", help="Fail where an image is larger: 500MB, 2GiB."
    )
    @click.option(
        "--run-setup",
        "runs_setup",
        is_flag=True,
        envvar="MODELYARD_SETUP",
        help="Show setup.sh and run it on this machine, where the engine has no container for it (local).",
    )
    @wraps(command)
    def limited(*arguments: Any, locked: bool, max_size: int | None, runs_setup: bool, **options: Any) -> Any:
        from modelyard.commands.building import Limits

        return command(*arguments, limits=Limits(locked=locked, max_size=max_size, runs_setup=runs_setup), **options)

    return limited  # type: ignore[return-value]


def directory_argument(command: Command) -> Command:
    """DIRECTORY: a model directory, project, all/ or projects/; default the current folder."""
    return click.argument("directory", default=".", type=click.Path())(command)


def parse_variables(items: tuple[str, ...]) -> dict[str, str]:
    """Parse the KEY=VALUE of `-e`."""
    variables = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"-e {item!r} has no '='", hint="write -e KEY=VALUE")
        if not name.strip():
            raise InputError(f"-e {item!r} names no variable before '='", hint="write -e KEY=VALUE")
        variables[name] = value
    return variables
