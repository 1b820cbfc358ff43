"""Make an image of a Dockerfile: its stages one after the other, on bases of a layout, into that layout."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from modelyard.engines.oci.bases import Base, open_base, read_base
from modelyard.engines.oci.layout import CONFIG, Descriptor, Layout
from modelyard.engines.oci.registry import INDEX, MANIFEST
from modelyard.errors import InputError
from modelyard.images.dockerfile.copying import Owners, arrange, check_folder, plan_copy, with_mode, write_items
from modelyard.images.dockerfile.ignoring import read_patterns
from modelyard.images.dockerfile.parsing import Instruction, parse_dockerfile, parse_instruction
from modelyard.images.dockerfile.settings import Settings, check_flags
from modelyard.images.dockerfile.sources import Context, ImageFiles, Item, Source
from modelyard.images.dockerfile.stages import Recipe, Stage, find_stage, plan_stages, refuse_runs
from modelyard.images.layer import Layer
from modelyard.images.listing import opened_layer, read_listing
from modelyard.images.platforms import TargetPlatform, parse_platform
from modelyard.images.provenance import BASE_DIGEST, BASE_NAME
from modelyard.images.tree import Found, Tree, merge
from modelyard.machine.output import OnOutput

SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be built: the Dockerfile, the folder of its files, and what the command line adds."""

    dockerfile: Path
    context: Path
    arguments: Mapping[str, str]
    platforms: Sequence[TargetPlatform]
    target: str | None
    folder: Path
    """What relative places of bases are below."""


def build_dockerfile(order: Order, layout: Layout, environ: Mapping[str, str], on_output: OnOutput) -> Descriptor:
    """Make the image of each platform, of several an index; return what there is in the layout now."""
    try:
        text = order.dockerfile.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise InputError(f"{order.dockerfile}: {reason}", hint="name it with -f FILE") from None
    if not order.context.is_dir():
        raise InputError(f"{order.context}: is no folder", hint="name the folder that COPY takes files from")
    instructions = parse_dockerfile(text, order.dockerfile.name)
    images = []
    for platform in order.platforms:
        given = {**_arguments_of(platform), **order.arguments}
        recipe = plan_stages(instructions, given, target=order.target)
        images.append(_build(order, recipe, given, platform, layout, environ, on_output))
    if len(images) == 1:
        return images[0].descriptor
    manifests = [{**each.descriptor, "platform": _describe(each.platform)} for each in images]
    return layout.write_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX)


def _build(
    order: Order,
    recipe: Recipe,
    given: Mapping[str, str],
    platform: TargetPlatform,
    layout: Layout,
    environ: Mapping[str, str],
    on_output: OnOutput,
) -> Base:
    done: dict[int, Base] = {}

    def open_image(name: str, wanted: TargetPlatform) -> Base:
        stage = find_stage([each for each in recipe.stages if each.number in done], name)
        if stage is not None:
            return done[stage.number]
        return open_base(name, wanted, environ, layout, folder=order.folder, on_output=on_output)

    for stage in recipe.stages:
        wanted = parse_platform(stage.platform) if stage.platform else platform
        below = None if stage.base == SCRATCH else open_image(stage.base, wanted)
        with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
            settings = Settings(_document_of(below), recipe.arguments, given)
            context = Context(order.context, read_patterns(order.context, order.dockerfile))
            made = _StageBuild(stage, below, wanted, settings, context, layout, Path(folder), open_image)
            for instruction in made.instructions():
                on_output(f"---> {instruction.where}: {instruction.text}")
                made.apply(instruction)
            done[stage.number] = made.finish()
    return done[recipe.stages[-1].number]


class _StageBuild:
    """One stage while it is made."""

    def __init__(
        self,
        stage: Stage,
        below: Base | None,
        platform: TargetPlatform,
        settings: Settings,
        context: Context,
        layout: Layout,
        folder: Path,
        open_image: Callable[[str, TargetPlatform], Base],
    ) -> None:
        self.stage, self.below, self.platform, self.settings = stage, below, platform, settings
        self._context, self._layout, self._folder, self._open_image = context, layout, folder, open_image
        self._layers: list[Layer] = []

    def instructions(self) -> list[Instruction]:
        """Those that the base has put off, then those of the stage."""
        triggers = (self.below.config.get("OnBuild") or ()) if self.below else ()
        name = f"{self.stage.start.where}: ONBUILD of {self.stage.base}"
        put_off = [parse_instruction(text, name, number) for number, text in enumerate(triggers, 1)]
        refuse_runs(put_off)
        return [*put_off, *self.stage.instructions]

    @cached_property
    def tree(self) -> Tree:
        """The files as they are so far; a stage that only sets values never asks for them."""
        return merge(self.below.listings if self.below else ())

    def apply(self, instruction: Instruction) -> None:
        """Do what one instruction says."""
        if instruction.name in ("COPY", "ADD"):
            self._copy(instruction)
            return
        self.settings.apply(instruction)
        if instruction.name != "WORKDIR":
            return
        check_folder(instruction, self.settings.folder, self.tree)
        if self.tree.find(self.settings.folder) is None:
            folder = {self.tree.resolve(self.settings.folder): Item(path="", kind="folder", mode=0o755)}
            self._add(folder, None)
            self.settings.history[-1].pop("empty_layer")

    def finish(self) -> Base:
        """Write the image into the layout."""
        below, new = self.below, self._layers
        diff_ids = [*(below.parent.diff_ids if below else ()), *(each.digest for each in new)]
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._layout.write_json(self.settings.render(diff_ids, _describe(self.platform)), CONFIG),
            "layers": [*(below.layers if below else ()), *(self._layout.compress(e.path, e.digest) for e in new)],
            **({"annotations": _describe_base(self.stage.base, below)} if below else {}),
        }
        return read_base(self._layout, self._layout.write_json(document, MANIFEST), self.stage.name, self.platform)

    def _copy(self, instruction: Instruction) -> None:
        check_flags(instruction)
        owner, mode = (
            self.settings.expand(instruction, instruction.flags.get(each, "")) for each in ("chown", "chmod")
        )
        copy = plan_copy(instruction, self.settings.words(instruction), self.settings.folder, owner, mode)
        source: Source = self._context
        if instruction.flags.get("from"):
            source = self._open_files(self.settings.expand(instruction, instruction.flags["from"]))
        numbers = Owners(self._read_text).find(instruction, copy.owner) if copy.owner else None
        self._add(with_mode(arrange(copy, source, self.tree), copy.mode), numbers)
        self.settings.note(instruction.text, is_empty=False)

    def _add(self, items: Mapping[str, Item], owner: tuple[int, int] | None) -> None:
        layer = write_items(self._folder / f"{len(self._layers)}.tar", items, self.tree, owner=owner)
        self._layers.append(layer)
        self.tree.add(read_listing(layer.path, "a new layer"), layer.digest)

    def _open_files(self, name: str) -> ImageFiles:
        """The files of another stage or image."""
        image = self._open_image(name, self.platform)
        return ImageFiles(image.tree, lambda found: self._open_plain(image.layout.path(found.layer), found))

    def _read_text(self, path: str) -> str:
        found = self.tree.find(path)
        if found is None or found.member.kind != "file":
            return ""
        own = {each.digest: each.path for each in self._layers}
        with self._open_plain(own.get(found.layer) or self._layout.path(found.layer), found) as file:
            return file.read(found.member.size).decode(errors="replace")

    def _open_plain(self, path: Path, found: Found) -> IO[bytes]:
        """Open a layer where the content of a file begins; what is compressed is unpacked once for all its files."""
        plain = self._folder / f"{found.layer.removeprefix('sha256:')}.plain"
        if not plain.is_file():
            with opened_layer(path, f"the layer {found.layer}") as stream, plain.open("wb") as target:
                shutil.copyfileobj(stream, target)
        file = plain.open("rb")
        file.seek(found.member.offset)
        return file


def _document_of(below: Base | None) -> dict[str, Any]:
    return {**below.document, "history": below.parent.history} if below else {}


def _describe_base(name: str, below: Base) -> dict[str, str]:
    """What the image says of its base; not where that lay on this machine."""
    is_place = name.startswith(("oci:", "oci-archive:", "docker-archive:"))
    return {BASE_DIGEST: below.digest, **({} if is_place else {BASE_NAME: name})}


def _describe(platform: TargetPlatform) -> dict[str, str]:
    """A platform as configurations and indexes have it."""
    parts = {"architecture": platform.architecture, "os": platform.os, "variant": platform.variant}
    return {name: value for name, value in parts.items() if value}


def _arguments_of(platform: TargetPlatform) -> dict[str, str]:
    """The arguments that every build has: https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope"""
    return {
        "TARGETPLATFORM": str(platform),
        "TARGETOS": platform.os,
        "TARGETARCH": platform.architecture,
        "TARGETVARIANT": platform.variant,
    }
