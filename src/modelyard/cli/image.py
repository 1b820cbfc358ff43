"""`modelyard image build`: an image of a Dockerfile, with no engine."""

from pathlib import Path

import click

from modelyard.cli.console import format_size, print_json
from modelyard.cli.options import json_option, parse_variables, pass_settings
from modelyard.cli.registry import digest_file_option, insecure_option, show_progress, sign_option
from modelyard.cli.settings import Settings


@click.group("image")
def image_command() -> None:
    """Images of other things than models, made without an engine."""


@image_command.command("build")
@click.option("-f", "--file", "dockerfile", metavar="FILE", help="The Dockerfile. Default: CONTEXT/Dockerfile.")
@click.option("--build-arg", "arguments", multiple=True, metavar="KEY=VALUE", help="Give an ARG its value.")
@click.option("--target", metavar="STAGE", help="Make this stage. Default: the last.")
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="For these platforms, with commas: one index."
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="PLACE",
    help="Also write it to oci:DIR, oci-archive:FILE or docker-archive:FILE.",
)
@click.option("--push", "push", metavar="REF", help="Push it to this place in a registry.")
@sign_option
@digest_file_option
@insecure_option
@json_option
@click.argument("context")
@click.argument("name", metavar="REF")
@pass_settings
def build_command(
    settings: Settings,
    dockerfile: str | None,
    arguments: tuple[str, ...],
    target: str | None,
    platforms: tuple[str, ...],
    outputs: tuple[str, ...],
    push: str | None,
    key: str | None,
    digest_file: str | None,
    insecure: bool,
    as_json: bool,
    context: str,
    name: str,
) -> None:
    """Build the image REF of a Dockerfile without RUN, with the files of the folder CONTEXT.

    Nothing is run and no engine asked: what FROM names is got from its registry, layout or archive once. The image is
    kept below MODELYARD_HOME; its digest depends on the Dockerfile, the files and the base alone.
    """
    from modelyard.commands.image_build import build_image, read_platforms
    from modelyard.engines.oci.dockerfile_build import Order
    from modelyard.images.platforms import find_own_platform

    folder = settings.path(context)
    order = Order(
        dockerfile=settings.path(dockerfile) if dockerfile else folder / "Dockerfile",
        context=folder,
        arguments=parse_variables(arguments),
        platforms=read_platforms(platforms, find_own_platform()),
        target=target,
        folder=settings.directory,
    )
    with show_progress(f"pushing {push}") as on_transfer:
        built = build_image(
            order,
            name,
            settings.environ,
            outputs=outputs,
            push=push,
            key=key,
            insecure=insecure,
            on_output=lambda line: click.echo(line, err=True),
            on_transfer=on_transfer,
        )
    if digest_file is not None:
        Path(settings.path(digest_file)).write_text(f"{built.digest}\n", encoding="utf-8")
    if built.sent is not None:
        click.echo(f"     {format_size(built.sent)} sent", err=True)
    if as_json:
        print_json({"image": built.name, "digest": built.digest, "sent": built.sent})
    else:
        click.echo(f"{push or built.name}@{built.digest}")
