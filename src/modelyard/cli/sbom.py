"""`modelyard sbom`: what an image is made of."""

import click

from modelyard.cli.options import pass_settings
from modelyard.cli.settings import Settings


@click.command("sbom")
@click.argument("image")
@click.option(
    "--format",
    "format",
    type=click.Choice(["cyclonedx", "spdx", "provenance"]),
    default="cyclonedx",
    show_default=True,
    help="Which bill; or where the image comes from, by in-toto and SLSA.",
)
@click.option("--platform", metavar="OS/ARCH", help="Of an index, this one. Default: this machine's.")
@pass_settings
def sbom_command(settings: Settings, image: str, format: str, platform: str | None) -> None:
    """Print the bill of materials of IMAGE as JSON: its packages of Python and of its distribution.

    IMAGE is host/name:tag, oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE, or an image that was made without an
    engine. What a registry has beside it is printed as it is there; else it is made of the image's files.
    """
    from modelyard.commands.attesting import FORMATS, describe_image
    from modelyard.images.platforms import find_own_platform, parse_platform

    chosen = next(each for each in FORMATS if each == format)
    wanted = parse_platform(platform) if platform else find_own_platform()
    click.echo(describe_image(image, chosen, wanted, settings.directory, settings.environ).decode())
