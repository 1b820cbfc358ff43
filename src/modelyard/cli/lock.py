"""`modelyard lock`."""

import click

from modelyard.cli.console import Console
from modelyard.cli.options import directory_argument, engine_option, pass_settings, variant_option
from modelyard.cli.settings import Settings


@click.command("lock")
@directory_argument
@click.option("--check", is_flag=True, help="Write nothing; fail where a lock is missing or stale.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions that fit, not those of the lock before.")
@click.option(
    "--platform",
    "platforms",
    envvar="MODELYARD_PLATFORM",
    metavar="OS/ARCH,...",
    help="A lock of its own for each of these platforms (engine oci): linux/amd64,linux/arm64.",
)
@variant_option
@engine_option
@pass_settings
def lock_command(
    settings: Settings,
    directory: str,
    check: bool,
    upgrade: bool,
    platforms: str | None,
    variant: str,
    engine: str | None,
) -> None:
    """Write a lock file beside each requirements file: every package with version and hashes, for the engine's Python.

    DIRECTORY is a model directory, an all/, a project with all of these, or projects/. Builds use a lock that is fresh.
    """
    from modelyard.commands.building import find_lockable, staged
    from modelyard.commands.locking import check_locks, for_platforms, write_locks
    from modelyard.engines.parts import require_builder

    opened = settings.open_engine(engine)
    builders = for_platforms(opened, platforms) if platforms else [require_builder(opened)]
    console = Console(verbose=settings.verbose)
    for request in find_lockable(settings.workspace, settings.locate(directory), variant=variant):
        with staged(request) as context:
            for builder in builders:
                if check:
                    check_locks(context, builder)
                    continue
                for line in write_locks(context, builder, console, upgrade=upgrade):
                    click.echo(line)
