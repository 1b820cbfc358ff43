"""The application image: dependencies with the layers of the runtime and of the source on top, and its labels."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sys import stdlib_module_names
from typing import Any

from modelyard import __version__
from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.errors import BuildError, ModelyardError
from modelyard.images.builder import ROLE_LABEL, SCRIPTS
from modelyard.images.configuration import Change
from modelyard.images.dependencies import DependencyPlan, modules_label
from modelyard.images.layer import write_files_layer, write_source_layer
from modelyard.images.namespace import Namespace
from modelyard.runtime.assembling.entries import check_entries

IMAGE_LABEL = "io.modelyard.image"
KIND_LABEL = "io.modelyard.kind"
NAME_LABEL = "io.modelyard.name"


@dataclass(frozen=True)
class ApplicationPlan:
    """What an application image is made of; `key` is its digest."""

    context: BuildContext
    dependencies: DependencyPlan

    @cached_property
    def key(self) -> str:
        """The digest of dependencies, runtime, source, scripts and names."""
        context = self.context
        parts = [
            self.dependencies.key,
            self.dependencies.builder.runtime_key,
            context.source_digest,
            context.name,
            context.kind,
        ]
        return digest_parts(map(str.encode, parts))


def own_scripts(context: BuildContext) -> dict[str, Path]:
    """The scripts of `.s2i/bin` that replace the builder's, by name."""
    builder = context.about.builder / "s2i" / "bin"
    staged = {path.name: path for path in sorted(context.scripts.iterdir())}
    return {name: path for name, path in staged.items() if not _is_same(path, builder / name)}


def _is_same(path: Path, other: Path) -> bool:
    return other.is_file() and other.read_bytes() == path.read_bytes()


def write_application(plan: ApplicationPlan, below: Mapping[str, Any], folder: Path) -> Change:
    """Check the source against what is installed, and write what goes on the dependency image.

    `below` is that image's `Config`; layers are written in `folder`. Raises BuildError.
    """
    variables = dict(line.partition("=")[::2] for line in below.get("Env") or ())
    check_application(plan.context, below["Labels"] or {})
    runtime = write_files_layer(folder / "runtime.tar", plan.dependencies.builder.runtime, executable=SCRIPTS)
    scripts = {f"{SCRIPTS}/{name}": path for name, path in own_scripts(plan.context).items()}
    source = write_source_layer(folder / "source.tar", variables["APP_ROOT"], plan.context.source, scripts=scripts)
    title = f"source: {plan.context.name} ({plan.context.kind}) {plan.context.source_digest[:12]}"
    return Change(
        layers=[(f"runtime: modelyard {__version__}", runtime), (title, source)],
        environment={**plan.context.environment, "MODELYARD_SOURCE_DIGEST": plan.context.source_digest},
        labels=application_labels(plan.context, plan.key, plan.dependencies.namespace),
        command=[f"{SCRIPTS}/run"],
    )


def check_application(context: BuildContext, labels: Mapping[str, str]) -> None:
    """Check entry points and imports as assemble's stage `source` does, by what labels say is installed."""

    def find_absent(environment: str, names: Collection[str]) -> Collection[str]:
        installed = {*labels.get(modules_label(environment), "").split(), *stdlib_module_names}
        return [name for name in names if name not in installed]

    environ = {**context.environment, "MODELYARD_KIND": context.kind}
    try:
        check_entries(context.source, environ, find_absent)
    except ModelyardError as error:
        raise BuildError(f"{context.name}: {error.message}", hint=error.hint) from None


def application_labels(context: BuildContext, key: str, namespace: Namespace) -> dict[str, str]:
    """The labels of an application image: this tool's, those of OCI, and those that s2i puts on its results."""
    return {
        **namespace.labels,
        IMAGE_LABEL: key,
        ROLE_LABEL: "application",
        KIND_LABEL: context.kind,
        NAME_LABEL: context.name,
        "io.modelyard.variant": context.about.variant,
        "io.modelyard.source-digest": context.source_digest,
        "io.modelyard.dependencies-digest": context.dependencies_digest,
        "org.opencontainers.image.title": context.name,
        "org.opencontainers.image.version": context.source_digest[:12],
        "org.opencontainers.image.description": f"{context.kind} image of {context.name}",
        "io.k8s.display-name": context.name,
        "io.openshift.s2i.build.source-location": context.name,
    }
