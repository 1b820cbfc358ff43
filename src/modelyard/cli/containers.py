"""`modelyard run`, `ps`, `logs` and `stop`."""

import click

from modelyard.cli.console import format_age, print_json, print_table
from modelyard.cli.options import (
    engine_option,
    json_option,
    not_negative,
    parse_variables,
    pass_settings,
    shared_memory_option,
    variables_option,
)
from modelyard.cli.settings import Settings
from modelyard.commands.endpoint import Endpoint
from modelyard.errors import EngineError, InputError


@click.command("run")
@click.argument("image")
@click.option("--name", help="The container's name.")
@variables_option
@click.option("-v", "--volume", "volumes", multiple=True, metavar="FOLDER:TARGET[:ro]", help="Mount a folder.")
@shared_memory_option
@engine_option
@pass_settings
def run_command(
    settings: Settings,
    image: str,
    name: str | None,
    variables: tuple[str, ...],
    volumes: tuple[str, ...],
    engine: str | None,
) -> int:
    """Run IMAGE in the foreground until it ends, and exit with its exit code.

    TARGET is a folder below the application root, such as models.
    """
    from modelyard.engines.parts import require_runner
    from modelyard.engines.protocols import ContainerSpec, Mount

    mounts = []
    for volume in volumes:
        source, _, rest = volume.partition(":")
        target, _, mode = rest.partition(":")
        if not target or mode not in ("", "ro", "rw"):
            raise InputError(f"-v {volume!r} is not FOLDER:TARGET[:ro]", hint="for example -v ./models:models:ro")
        mounts.append(Mount(source=settings.path(source), target=target, read_only=mode == "ro"))
    spec = ContainerSpec(image, name=name, environment=parse_variables(variables), mounts=mounts)
    return require_runner(settings.open_engine(engine)).run(spec, on_output=click.echo)


@click.command("ps")
@click.option("-a", "--all", "show_all", is_flag=True, help="Those that ended, too.")
@engine_option
@json_option
@pass_settings
def ps_command(settings: Settings, show_all: bool, engine: str | None, as_json: bool) -> None:
    """List containers, newest first."""
    from modelyard.engines.parts import require_runner

    containers = require_runner(settings.open_engine(engine, quiet=as_json)).containers(all=show_all)
    if as_json:
        print_json([vars(container) for container in containers])
        return
    rows = [
        [
            container.name,
            container.id[:12],
            container.image[:12],
            container.status if container.exit_code is None else f"{container.status} ({container.exit_code})",
            str(Endpoint(host=container.host, port=container.port)) if container.host and container.port else "",
            format_age(container.created.timestamp()),
        ]
        for container in containers
    ]
    print_table(["name", "id", "image", "status", "published at", "created"], rows)


@click.command("logs")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@engine_option
@pass_settings
def logs_command(settings: Settings, name: str, follow: bool, engine: str | None) -> None:
    """Show the log of the container NAME."""
    from modelyard.engines.parts import require_runner

    for line in require_runner(settings.open_engine(engine)).logs(name, follow=follow):
        click.echo(line)


@click.command("stop")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--grace", type=not_negative, help="Seconds until it is killed. Default: its daemon's STOP_TIMEOUT, and 5."
)
@engine_option
@pass_settings
def stop_command(settings: Settings, names: tuple[str, ...], grace: float | None, engine: str | None) -> None:
    """Stop the containers NAMES: what they accepted is answered first. One that is not there stops no other's end."""
    from modelyard.engines.parts import require_runner

    opened = settings.open_engine(engine)
    runner = require_runner(opened)
    running = {container.id for container in runner.containers()}
    failed = []
    for name in names:
        try:
            stopped = runner.stop(name, grace=grace)
        except EngineError as error:
            failed.append(error)
            continue
        click.echo(name)
        if stopped.id not in running:
            elsewhere = "one of another engine: --engine (make: ENGINE=local|docker|podman)"
            click.echo(f"{name} had ended before on the engine {opened.name}; {elsewhere}", err=True)
    if failed:
        raise EngineError("\n".join(error.message for error in failed), hint=failed[0].hint)
