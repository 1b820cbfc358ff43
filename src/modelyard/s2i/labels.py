"""The labels that s2i puts on its results, and `rebuild` reads again."""

from collections.abc import Mapping

from modelyard.errors import InputError
from modelyard.s2i.builder import BuilderImage
from modelyard.s2i.config import BuildConfig
from modelyard.s2i.source import LABEL, Fetched

IMAGE = f"{LABEL}image"
LOCATION = f"{LABEL}source-location"
CONTEXT_DIR = f"{LABEL}source-context-dir"
REF = f"{LABEL}commit.ref"
DISPLAY_NAME = "io.k8s.display-name"
DESCRIPTION = "io.k8s.description"


def result_labels(config: BuildConfig, fetched: Fetched, builder: BuilderImage) -> dict[str, str]:
    """Upstream's labels, then OCI's, then the user's own."""
    commit = {"org.opencontainers.image.revision": fetched.labels[f"{LABEL}commit.id"]} if REF in fetched.labels else {}
    return {
        DISPLAY_NAME: config.application_name or config.tag or fetched.labels[LOCATION],
        **({DESCRIPTION: config.description} if config.description else {}),
        IMAGE: builder.reference,
        **fetched.labels,
        "org.opencontainers.image.title": config.application_name or config.tag or fetched.labels[LOCATION],
        **commit,
        **config.labels,
    }


def read_labels(image: str, labels: Mapping[str, str], *, tag: str) -> BuildConfig:
    """The build that an image's labels tell of; raise InputError where s2i did not build it."""
    missing = [name for name in (IMAGE, LOCATION) if not labels.get(name)]
    if missing:
        raise InputError(
            f"{image}: has no label {missing[0]}, so how it was built is unknown",
            hint="rebuild works on images that s2i built: use s2i build <source> <builder> <tag>",
        )
    return BuildConfig(
        source=labels[LOCATION],
        builder_image=labels[IMAGE],
        tag=tag,
        ref=labels.get(REF, ""),
        context_dir=labels.get(CONTEXT_DIR, ""),
        application_name=labels.get(DISPLAY_NAME, ""),
        description=labels.get(DESCRIPTION, ""),
    )
