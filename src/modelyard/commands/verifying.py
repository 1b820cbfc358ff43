"""Is an image what its source makes? It is made once more, in a home of its own, and compared."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelyard.commands.building import BuildRequest, Limits, build_staged, staged
from modelyard.commands.copying import open_layout
from modelyard.commands.reporter import Reporter
from modelyard.commands.subject import find_subject, locate
from modelyard.engines.oci.bases import Base, open_base, read_base
from modelyard.engines.oci.engine import OciEngine
from modelyard.engines.oci.layout import Layout
from modelyard.engines.oci.places import carry
from modelyard.errors import InputError, StaleError
from modelyard.images.application import KIND_LABEL, NAME_LABEL
from modelyard.images.builder import BASE_IMAGE, BASE_LABEL
from modelyard.images.differences import LayerFiles, compare_layers, compare_settings
from modelyard.images.platforms import TargetPlatform
from modelyard.machine.home import Home
from modelyard.runtime.scratch import scratch_folder
from modelyard.workspace import Workspace

SOURCE_LABEL = "io.modelyard.source-digest"
_NAMES = ("the image", "rebuilt")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of it: `differences` is empty where the two are equal."""

    image: str
    id: str
    rebuilt: str
    differences: Sequence[str]


def verify_image(
    reference: str,
    directory: str | None,
    workspace: Workspace,
    platform: TargetPlatform,
    folder: Path,
    environ: Mapping[str, str],
    reporter: Reporter,
) -> Verdict:
    """Make the image again of the source that its labels name, and of its locks, and compare the two.

    Raises InputError for an image that says of no source, StaleError where the source here is another.
    """
    image = open_base(reference, platform, environ, open_layout(environ), folder=folder, on_output=reporter.note)
    labels = image.config.get("Labels") or {}
    if SOURCE_LABEL not in labels or NAME_LABEL not in labels:
        raise InputError(
            f"{reference} does not say which source it is of",
            hint="only what modelyard build made does; of a Dockerfile: build it again, and compare the digests",
        )
    request = BuildRequest(
        workspace=workspace,
        subject=find_subject(workspace, locate(workspace, directory or labels[NAME_LABEL], start=folder)),
        kind="train" if labels.get(KIND_LABEL) == "train" else "predict",
        tag="verify",
        variant=labels.get("io.modelyard.variant", "cpu"),
    )
    with _rebuilt(request, image, labels, environ, reporter) as again:
        differences = [] if again.id == image.id else list(_compare(image, again))
        return Verdict(image=reference, id=image.id, rebuilt=again.id, differences=differences)


@contextmanager
def _rebuilt(
    request: BuildRequest, image: Base, labels: Mapping[str, str], environ: Mapping[str, str], reporter: Reporter
) -> Iterator[Base]:
    """The image made again, with nothing in the home that was made before; it is gone afterwards."""
    with scratch_folder() as root, staged(request) as context:
        if context.source_digest != labels[SOURCE_LABEL]:
            raise StaleError(
                f"{request.subject.path}: its source is {context.source_digest[:12]}, "
                f"{image.reference} is of {labels[SOURCE_LABEL][:12]}",
                hint="check out the source that the image was made of",
            )
        reference = environ.get(BASE_IMAGE) or context.arguments["BASE_IMAGE"]
        base = open_base(reference, image.platform, environ, open_layout(environ))
        if labels.get(BASE_LABEL, base.id) != base.id:
            reporter.note(f"{reference} is not the base image that {image.reference} stands on")
        layout = Layout(root / "oci")
        layout.tag(carry(base.layout, base.descriptor, layout), reference)
        engine = OciEngine(Home(root), {**environ, "MODELYARD_HOME": str(root)}, image.platform)
        build_staged(context, Limits(), tag="verify", engine=engine, reporter=reporter)
        found = layout.find("verify:latest")
        assert found is not None
        yield read_base(layout, found, "rebuilt", image.platform)


def _compare(image: Base, again: Base) -> list[str]:
    layers = list(compare_layers(_layers_of(image), _layers_of(again), _NAMES))
    ignored = {"rootfs", "history"} if layers else {"rootfs"}
    settings = [{key: value for key, value in each.document.items() if key not in ignored} for each in (image, again)]
    return [*layers, *compare_settings(settings[0], settings[1], _NAMES)]


def _layers_of(image: Base) -> list[LayerFiles]:
    titles = [str(line.get("created_by", "")) for line in image.parent.history if not line.get("empty_layer")]
    return [
        LayerFiles(title=title, listing=listing, path=image.layout.path(digest))
        for title, (digest, listing) in zip(titles, image.listings, strict=True)
    ]
