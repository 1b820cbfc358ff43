"""`modelyard store`: model files in a folder or an S3 bucket."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from modelyard.cli.console import format_age, format_size, print_json, print_table
from modelyard.cli.options import json_option, pass_settings
from modelyard.cli.settings import Settings


@click.group("store")
def store_command() -> None:
    """Move model files to and from a store.

    A store is a folder, or s3://BUCKET/KEY on any S3-compatible server. Server and credentials are found the way every
    AWS tool finds them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_ENDPOINT_URL, ~/.aws.
    """


@store_command.command("pull")
@click.argument("url")
@click.argument("target", default=".", type=click.Path())
@click.option("--sha256", metavar="HEX", help="What the file must have. Default: what the store knows.")
@pass_settings
def pull_command(settings: Settings, url: str, target: str, sha256: str | None) -> None:
    """Get a file as TARGET, or with a / at the end of URL all below it into the folder TARGET.

    A download that was cut off goes on where it stopped. A file gets its name when it is whole and its sha256 right.
    """
    from modelyard.store.transfer import fetch, fetch_all

    source, path = _absolute(settings, url), settings.directory / Path(target).expanduser()
    with _progress_bar(url) as progress:
        if source.endswith("/"):
            paths = fetch_all(source, path, progress=progress)
        else:
            paths = [fetch(source, path, sha256=sha256, progress=progress)]
    for got in paths:
        click.echo(got)


@store_command.command("push")
@click.argument("path", type=click.Path())
@click.argument("url")
@pass_settings
def push_command(settings: Settings, path: str, url: str) -> None:
    """Put the file PATH at URL, or all files of the folder PATH below it; print the addresses they have there."""
    from modelyard.store.transfer import push_all

    with _progress_bar(path) as progress:
        addresses = push_all(settings.path(path), _absolute(settings, url), progress=progress)
    for address in addresses:
        click.echo(address)


@store_command.command("ls")
@click.argument("url")
@json_option
@pass_settings
def list_command(settings: Settings, url: str, as_json: bool) -> None:
    """List the files at URL and below."""
    from modelyard.store.transfer import list_files

    found = list_files(_absolute(settings, url))
    if as_json:
        print_json(
            [
                {
                    "url": str(address),
                    "size": entry.size,
                    "modified": datetime.fromtimestamp(entry.modified, UTC).isoformat(),
                }
                for address, entry in found
            ]
        )
    else:
        rows = [(str(address), format_size(entry.size), format_age(entry.modified)) for address, entry in found]
        print_table(("file", "size", "changed"), rows)


@store_command.command("rm")
@click.argument("url")
@click.option("-r", "--recursive", is_flag=True, help="Remove everything below URL, which ends with a /.")
@pass_settings
def remove_command(settings: Settings, url: str, recursive: bool) -> None:
    """Remove the file at URL."""
    from modelyard.store.transfer import remove

    for address in remove(_absolute(settings, url), recursive=recursive):
        click.echo(address)


def _absolute(settings: Settings, url: str) -> str:
    """A path starts at the folder that the command works in (-C)."""
    from modelyard.store.address import parse_address

    return str(parse_address(url, base=settings.directory))


@contextmanager
def _progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with bytes and speed, on a terminal only; start over with each file."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label.rstrip("/").rpartition("/")[2], total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
