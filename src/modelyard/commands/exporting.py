"""Build for other machines than this one, and write images into files."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard.commands.building import (
    BUILD_SCRIPT,
    BuildRequest,
    Limits,
    build_staged,
    is_build_script_edited,
    staged,
)
from modelyard.commands.reporter import Reporter
from modelyard.commands.sizing import check_size
from modelyard.context.build_context import BuildContext, load_context
from modelyard.engines.oci.places import Place, parse_place
from modelyard.engines.parts import require_exporter, require_store
from modelyard.engines.protocols import Engine, Image
from modelyard.errors import InputError
from modelyard.images.platforms import TargetPlatform, parse_platforms
from modelyard.runtime.scratch import scratch_folder


@dataclass(frozen=True, kw_only=True)
class Destination:
    """What machines an image is for, and where it is written beside the engine's own store."""

    platforms: tuple[TargetPlatform, ...] = ()
    """None: this machine's."""
    place: Place | None = None


def parse_destination(platforms: str, output: str | None, folder: Path) -> Destination:
    """Parse what a person wrote; raise InputError for what is no platform or no place of this machine."""
    place = parse_place(output, folder) if output else None
    if place is not None and not isinstance(place, Place):
        raise InputError(
            f"--output {output} is no file of this machine",
            hint="write oci:DIR, oci-archive:FILE or docker-archive:FILE; to a registry: --push REF",
        )
    chosen = parse_platforms(platforms) if platforms else ()
    if place is not None and place.kind == "docker-archive" and len(chosen) > 1:
        raise InputError(
            f"--output {output}: docker load takes one platform, not {', '.join(map(str, chosen))}",
            hint="write oci-archive:FILE, or choose one platform",
        )
    return Destination(platforms=chosen, place=place)


def build_image_for(destination: Destination, request: BuildRequest, engine: Engine, reporter: Reporter) -> Image:
    """Build the image of a subject as `build_for` does; raise InputError where an edited build.sh decides how."""
    if is_build_script_edited(request.workspace):
        raise InputError(
            f"{request.workspace.root / BUILD_SCRIPT} is edited, and decides how images are built: it knows no "
            "--platform and no --output",
            hint="restore it, or write the image afterwards: modelyard push, modelyard copy",
        )
    require_exporter(engine)  # before anything is staged
    with staged(request) as context:
        return build_for(
            *(destination, context, request.limits), tag=request.image_tag, engine=engine, reporter=reporter
        )


def build_for(
    destination: Destination,
    context: BuildContext,
    limits: Limits,
    *,
    tag: str,
    engine: Engine,
    reporter: Reporter,
) -> Image:
    """Build an image for each platform and join them, then write that where it is asked for."""
    exporter = require_exporter(engine)
    if destination.platforms:
        image = _build_each(destination.platforms, context, limits, tag=tag, engine=engine, reporter=reporter)
    else:
        image = build_staged(context, limits, tag=tag, engine=engine, reporter=reporter)
    if destination.place is not None:
        with reporter.step(f"writing {destination.place}") as step:
            digest = exporter.export(tag, destination.place)
            step.done(f"wrote {destination.place} ({digest})")
    return image


def _build_each(
    platforms: Sequence[TargetPlatform],
    context: BuildContext,
    limits: Limits,
    *,
    tag: str,
    engine: Engine,
    reporter: Reporter,
) -> Image:
    """One image, or an index of several; each of its own lock, where it has one."""
    exporter = require_exporter(engine)
    images = []
    for platform in platforms:
        reporter.note(f"for {platform}:")
        with scratch_folder() as folder:
            # A lock that is applied changes the context.
            shutil.copytree(context.root, folder / "context", symlinks=True)
            own, builder = load_context(folder / "context"), exporter.on(platform)
            image = build_staged(own, replace(limits, max_size=None), tag=tag, engine=builder, reporter=reporter)
            check_size(image, image.id, limits.max_size, require_store(engine), tag=tag)
            images.append(image)
    return exporter.join(images, tag=tag)
