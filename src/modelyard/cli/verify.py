"""`modelyard verify-image`: is an image what its source makes?"""

from typing import NoReturn

import click

from modelyard.cli.console import Console, print_json
from modelyard.cli.options import json_option, pass_settings
from modelyard.cli.settings import Settings
from modelyard.runtime.errors import ModelyardError


class DifferentError(ModelyardError):
    """An image is another than its source makes."""

    exit_code = 4


@click.command("verify-image")
@click.argument("image")
@click.argument("directory", required=False)
@click.option("--platform", metavar="OS/ARCH", help="Of an index, this one. Default: this machine's.")
@json_option
@pass_settings
def verify_image_command(
    settings: Settings, image: str, directory: str | None, platform: str | None, as_json: bool
) -> None:
    """Make IMAGE once more, of the source and locks that its labels name, and say where the two differ.

    IMAGE is host/name:tag, oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE, or an image of the engine oci. Its
    source is looked for in this workspace, or is the model directory or all/ DIRECTORY. What was built before is not
    used.
    """
    from modelyard.commands.verifying import verify_image
    from modelyard.images.platforms import find_own_platform, parse_platform

    verdict = verify_image(
        *(image, directory, settings.workspace),
        parse_platform(platform) if platform else find_own_platform(),
        *(settings.directory, settings.environ, Console(verbose=settings.verbose)),
    )
    if as_json:
        print_json(vars(verdict))
    else:
        click.echo("\n".join(verdict.differences) or f"equal: {verdict.id}")
    if verdict.differences:
        _fail(image, verdict.rebuilt)


def _fail(image: str, rebuilt: str) -> NoReturn:
    raise DifferentError(f"{image} is not what its source makes here ({rebuilt})", hint="the differences stand above")
