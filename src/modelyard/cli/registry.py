"""`modelyard push`, `pull`, `copy`, `tags`, `login` and `logout`: images and registries."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import format_size, print_json
from modelyard.cli.options import engine_option, json_option, pass_settings
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.commands.copying import Published
    from modelyard.engines.protocols import Engine

insecure_option = click.option("--insecure", is_flag=True, help="Talk plain HTTP to a host that is not this machine.")
digest_file_option = click.option(
    "--digest-file", type=click.Path(dir_okay=False), help="Write the digest to this file as well."
)
sign_option = click.option(
    "--sign", "key", metavar="KEY", help="Sign it with the program cosign: what its --key takes, or keyless."
)
platform_option = click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Of an index, this platform alone. Default: all."
)


@click.command("push")
@click.argument("image")
@click.argument("target", metavar="REF")
@sign_option
@digest_file_option
@insecure_option
@engine_option
@json_option
@pass_settings
def push_command(
    settings: Settings,
    image: str,
    target: str,
    key: str | None,
    digest_file: str | None,
    insecure: bool,
    engine: str | None,
    as_json: bool,
) -> None:
    """Push IMAGE, a tag or an id of an engine, to REF, and print it by its digest.

    Only what the registry lacks is sent. Credentials are docker's and podman's: docker login, or modelyard login.
    """
    opened = settings.open_engine(engine, quiet=as_json)
    push_and_show(
        *(settings, image, target),
        engine=opened,
        key=key,
        insecure=insecure,
        digest_file=digest_file,
        as_json=as_json,
    )


@click.command("pull")
@click.argument("source", metavar="REF")
@click.argument("target", metavar="[PLACE]", required=False)
@platform_option
@insecure_option
@json_option
@pass_settings
def pull_command(
    settings: Settings, source: str, target: str | None, platforms: tuple[str, ...], insecure: bool, as_json: bool
) -> None:
    """Get the image REF from its registry into PLACE: oci:DIR, oci-archive:FILE or docker-archive:FILE.

    Without PLACE it becomes oci:NAME in this folder. A download that was cut off goes on where it stopped.
    """
    from modelyard.commands.copying import default_place

    place = target or default_place(source)
    copy_and_show(settings, source, place, verb="pulling", platforms=platforms, insecure=insecure, as_json=as_json)


@click.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@platform_option
@digest_file_option
@insecure_option
@json_option
@pass_settings
def copy_command(
    settings: Settings,
    source: str,
    target: str,
    platforms: tuple[str, ...],
    digest_file: str | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Copy an image between registries, layouts and archives, without any engine.

    FROM and TO are host/name:tag, host/name@sha256:..., oci:DIR[:NAME], oci-archive:FILE[:NAME] or
    docker-archive:FILE[:NAME].
    """
    copy_and_show(
        *(settings, source, target),
        platforms=platforms,
        insecure=insecure,
        digest_file=digest_file,
        as_json=as_json,
    )


@click.command("tags")
@click.argument("name", metavar="REF")
@insecure_option
@json_option
@pass_settings
def tags_command(settings: Settings, name: str, insecure: bool, as_json: bool) -> None:
    """List the tags of the repository REF."""
    from modelyard.commands.copying import list_tags

    tags = list_tags(name, settings.environ, insecure=insecure)
    if as_json:
        print_json(tags)
    else:
        click.echo("\n".join(tags))


@click.command("login")
@click.argument("host")
@click.option("-u", "--username", prompt=True, help="Asked for where it is not given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; else it is asked for.")
@insecure_option
@pass_settings
def login_command(settings: Settings, host: str, username: str, password_stdin: bool, insecure: bool) -> None:
    """Try a user and password at the registry HOST, and keep them where docker keeps them.

    There is no option for the password: a command line is everybody's to read.
    """
    from modelyard.commands.copying import log_in

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else click.prompt("Password", hide_input=True)
    place = log_in(host, username, password, settings.environ, insecure=insecure)
    click.echo(f"logged in to {host}; kept in {place}", err=True)


@click.command("logout")
@click.argument("host")
@pass_settings
def logout_command(settings: Settings, host: str) -> None:
    """Forget the user and password of the registry HOST."""
    from modelyard.commands.copying import log_out

    known = log_out(host, settings.environ)
    click.echo(f"logged out of {host}" if known else f"there was no login to {host}", err=True)


def copy_and_show(
    settings: Settings,
    source: str,
    target: str,
    *,
    verb: str = "copying",
    platforms: tuple[str, ...],
    insecure: bool,
    digest_file: str | None = None,
    as_json: bool,
) -> None:
    """Copy an image from one place to another, showing how far it is, and print it by its digest."""
    from modelyard.commands.copying import copy_image

    with show_progress(f"{verb} {source}") as on_transfer:
        done = copy_image(
            *(source, target, settings.directory, settings.environ),
            platforms=platforms,
            insecure=insecure,
            on_transfer=on_transfer,
        )
    _show(settings, done, digest_file, as_json=as_json)


def push_and_show(
    settings: Settings,
    image: str,
    target: str,
    *,
    engine: "Engine",
    key: str | None = None,
    insecure: bool = False,
    digest_file: str | None = None,
    as_json: bool = False,
) -> None:
    """Push an image of an engine, showing how far it is, and print it by its digest.

    Beside one that was made without an engine go its bills; with `key` it is signed.
    """
    from modelyard.commands.copying import push_image

    if key is not None:
        from modelyard.commands.signing import check_signing

        check_signing(settings.environ)
    with show_progress(f"pushing {target}") as on_transfer:
        done = push_image(engine, image, target, settings.environ, insecure=insecure, on_transfer=on_transfer)
    say = partial(click.echo, err=True)
    if engine.name == "oci":
        from modelyard.commands.attesting import attach_pushed

        attach_pushed(
            *(done.image, done.digest, settings.environ),
            is_new=done.sent != 0,
            insecure=insecure,
            on_output=say,
        )
    if key is not None:
        from modelyard.commands.signing import sign_image

        sign_image(done.pinned, key, settings.environ, insecure=insecure, on_output=say)
    _show(settings, done, digest_file, as_json=as_json)


@contextmanager
def show_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere one line each tenth of the way, in bytes."""
    if not sys.stderr.isatty():
        from modelyard.store.progress import as_lines

        yield as_lines(lambda line: click.echo(f"     {title}: {line}", err=True))
        return
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=RichConsole(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(settings: Settings, done: "Published", digest_file: str | None, *, as_json: bool) -> None:
    if digest_file is not None:
        Path(settings.path(digest_file)).write_text(f"{done.digest}\n", encoding="utf-8")
    if as_json:
        print_json({"image": done.image, "digest": done.digest, "sent": done.sent})
    else:
        if done.sent is not None:
            click.echo(f"     {format_size(done.sent)} sent", err=True)
        click.echo(done.pinned)
