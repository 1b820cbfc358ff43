"""The application image: a dependency image with the source's layer, made without starting a container."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sys import stdlib_module_names
from typing import Any

from modelyard import __version__
from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.engines.docker.builder_image import ROLE_LABEL, SCRIPTS
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.dependency_plan import DependencyPlan, modules_label
from modelyard.engines.docker.namespace import Namespace
from modelyard.engines.docker.stack import stack_layers
from modelyard.errors import BuildError, ModelyardError
from modelyard.images.archive import Change
from modelyard.images.layer import write_files_layer, write_source_layer
from modelyard.runtime.assembling.entries import check_entries
from modelyard.runtime.scratch import scratch_folder

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


def make_application(client: Client, plan: ApplicationPlan, dependencies: str) -> str:
    """Check the source against what is installed, lay it on the dependency image and return the new image's id."""
    with client.talking("look at the dependency image"):
        below: Mapping[str, Any] = client.api.inspect_image(dependencies)
    variables = dict(line.partition("=")[::2] for line in below["Config"].get("Env") or ())
    check_application(plan.context, below["Config"]["Labels"] or {})
    with scratch_folder() as folder:
        runtime = write_files_layer(folder / "runtime.tar", plan.dependencies.builder.runtime, executable=SCRIPTS)
        scripts = {f"{SCRIPTS}/{name}": path for name, path in own_scripts(plan.context).items()}
        source = write_source_layer(folder / "source.tar", variables["APP_ROOT"], plan.context.source, scripts=scripts)
        title = f"source: {plan.context.name} ({plan.context.kind}) {plan.context.source_digest[:12]}"
        change = Change(
            layers=[(f"runtime: modelyard {__version__}", runtime), (title, source)],
            environment={**plan.context.environment, "MODELYARD_SOURCE_DIGEST": plan.context.source_digest},
            labels=application_labels(plan.context, plan.key, client.namespace),
            command=[f"{SCRIPTS}/run"],
        )
        return stack_layers(client, dependencies, change)


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
