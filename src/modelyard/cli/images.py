"""`modelyard stage`, `build`, `images`, `inspect`, `rmi` and `prune`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import Console, cut, format_age, format_size, print_json, print_table
from modelyard.cli.options import (
    directory_argument,
    dry_run_option,
    engine_option,
    json_option,
    limits_options,
    pass_settings,
    variant_option,
)
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.commands.building import Limits

kind_choice = click.Choice(["train", "predict"])
with_models_option = click.option(
    "--with-models", is_flag=True, envvar="MODELYARD_WITH_MODELS", help="Bake the model binaries into the image."
)


@click.command("stage")
@click.argument("directory", type=click.Path())
@click.argument("kind", type=kind_choice)
@click.argument("context", type=click.Path(file_okay=False))
@click.option("--builder", help="A folder of builders/. Default: train or daemon.")
@with_models_option
@variant_option
@pass_settings
def stage_command(
    settings: Settings, directory: str, kind: str, context: str, builder: str | None, with_models: bool, variant: str
) -> None:
    """Lay out the build context of DIRECTORY in the folder CONTEXT: upload/src and upload/scripts.

    Edit it as you like, then: modelyard build --context CONTEXT --tag TAG
    """
    from modelyard.commands.building import BuildRequest, stage
    from modelyard.commands.subject import find_subject

    subject = find_subject(settings.workspace, settings.locate(directory))
    root = Path(settings.path(context))
    root.mkdir(parents=True, exist_ok=True)
    request = BuildRequest(
        workspace=settings.workspace,
        subject=subject,
        kind="train" if kind == "train" else "predict",
        variant=variant,
        with_models=with_models,
        builder=builder,
    )
    click.echo(stage(request, root).source)


@click.command("build")
@directory_argument
@click.argument("kind", type=kind_choice, default="predict")
@click.option("--tag", help="The image's tag. Default: <CONTAINER_NAME>-<kind>.")
@click.option("--context", type=click.Path(file_okay=False), help="Build this staged context instead.")
@click.option("--builder", help="A folder of builders/. Default: train or daemon.")
@click.option("--push", "pushes_to", metavar="REF", help="Push the image there as well, and print it by its digest.")
@click.option(
    "--platform",
    "platforms",
    envvar="MODELYARD_PLATFORM",
    metavar="OS/ARCH,...",
    help="Build for these platforms (engine oci): linux/amd64,linux/arm64. Default: this machine's.",
)
@click.option(
    "--output",
    metavar="PLACE",
    help="Write the image there as well (engine oci): oci:DIR, oci-archive:FILE or docker-archive:FILE.",
)
@with_models_option
@limits_options
@variant_option
@engine_option
@dry_run_option
@json_option
@pass_settings
def build_command(
    settings: Settings,
    directory: str,
    kind: str,
    tag: str | None,
    context: str | None,
    builder: str | None,
    pushes_to: str | None,
    platforms: str | None,
    output: str | None,
    with_models: bool,
    limits: "Limits",
    variant: str,
    engine: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build the train or predict image of DIRECTORY, a model directory or an all/."""
    from modelyard.commands import building
    from modelyard.commands.subject import find_subject
    from modelyard.context.build_context import load_context

    if pushes_to is not None:
        from modelyard.engines.oci.address import parse_address

        parse_address(pushes_to)  # before anything is built
    target = None
    if platforms or output:
        from modelyard.commands import exporting

        target = exporting.parse_destination(platforms or "", output, settings.directory)
    console = Console(verbose=settings.verbose)
    open_engine = partial(settings.open_engine, engine, quiet=as_json)
    if context is not None:
        if tag is None:
            raise click.UsageError("--context needs --tag")
        staged = load_context(settings.path(context))
        if target is not None:
            image = exporting.build_for(target, staged, limits, tag=tag, engine=open_engine(), reporter=console)
        else:
            image = building.build_staged(staged, limits, tag=tag, engine=open_engine(), reporter=console)
    else:
        request = building.BuildRequest(
            workspace=settings.workspace,
            subject=find_subject(settings.workspace, settings.locate(directory)),
            kind="train" if kind == "train" else "predict",
            tag=tag,
            variant=variant,
            with_models=with_models,
            builder=builder,
            limits=limits,
        )
        if dry_run:
            click.echo(
                "\n".join([*building.describe_build(request), *([f"push it to {pushes_to}"] if pushes_to else [])])
            )
            return
        if target is not None:
            image = exporting.build_image_for(target, request, open_engine(), console)
        else:
            image = building.build_image(request, open_engine(), console)
    if pushes_to is not None:
        from modelyard.cli.registry import push_and_show

        push_and_show(settings, image.id, pushes_to, engine=open_engine(), as_json=as_json)
    elif as_json:
        print_json(vars(image))
    else:
        click.echo(image.id)


@click.command("images")
@engine_option
@json_option
@pass_settings
def images_command(settings: Settings, engine: str | None, as_json: bool) -> None:
    """List images, newest first."""
    from modelyard.engines.parts import require_store

    images = require_store(settings.open_engine(engine, quiet=as_json)).images()
    if as_json:
        print_json([vars(image) for image in images])
        return
    rows = [
        [tag, image.id[:12], image.kind, image.name, format_age(image.created.timestamp()), format_size(image.size)]
        for image in images
        for tag in image.tags or ("<none>",)
    ]
    print_table(["image", "id", "kind", "model", "created", "size"], rows)


@click.command("inspect")
@click.argument("reference")
@click.option("--size", "shows_size", is_flag=True, help="What its size is made of: layers and packages.")
@engine_option
@json_option
@pass_settings
def inspect_command(settings: Settings, reference: str, shows_size: bool, engine: str | None, as_json: bool) -> None:
    """Show everything about the image REFERENCE (a tag, an id or the start of an id) as JSON.

    With --size, show its bill: what each layer and each installed package takes, the largest first.
    """
    from modelyard.engines.parts import require_store

    store = require_store(settings.open_engine(engine, quiet=as_json or not shows_size))
    if not shows_size:
        print_json(vars(store.inspect(reference)))
        return
    bill = store.measure(reference)
    if as_json:
        print_json(asdict(bill))
        return
    print_table(
        ["layer", "size"],
        [[cut(layer.title, 100), format_size(layer.size)] for layer in bill.layers],
        title=f"{reference}: {format_size(bill.size)}",
    )
    click.echo()
    rows = [[item.name, item.version, item.environment, format_size(item.size)] for item in bill.packages]
    print_table(["package", "version", "environment", "size"], rows)


@click.command("rmi")
@click.argument("references", nargs=-1, required=True)
@engine_option
@pass_settings
def rmi_command(settings: Settings, references: tuple[str, ...], engine: str | None) -> None:
    """Remove the images REFERENCES."""
    from modelyard.engines.parts import require_store

    store = require_store(settings.open_engine(engine))
    for reference in references:
        store.remove(reference)
        click.echo(reference)


@click.command("prune")
@engine_option
@json_option
@pass_settings
def prune_command(settings: Settings, engine: str | None, as_json: bool) -> None:
    """Remove ended containers, untagged images, environments that no image uses, and old builder images."""
    from modelyard.engines.parts import require_store

    pruned = require_store(settings.open_engine(engine, quiet=as_json)).prune()
    if as_json:
        print_json(vars(pruned))
        return
    click.echo(
        f"removed {len(pruned.containers)} containers, {len(pruned.images)} images, "
        f"{len(pruned.environments)} environments, {len(pruned.builders)} builder images: "
        f"{format_size(pruned.freed)} freed"
    )
