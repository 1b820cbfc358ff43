"""The engine of images behind the Protocols. What a build without a change has no use for loads when it is used."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from modelyard.context.build_context import BuildContext
from modelyard.context.lock import Target
from modelyard.engines.delegation import DelegatingEngine
from modelyard.engines.docker.builder_image import ensure_platform, ensure_role
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.images import DockerImages
from modelyard.engines.docker.pulling import ensure_base, find_image
from modelyard.engines.docker.sockets import Socket, require_socket
from modelyard.engines.protocols import Image, OnOutput, Pruned, discard
from modelyard.engines.reference import normalise_tag
from modelyard.images.application import ApplicationPlan, application_labels, own_scripts
from modelyard.images.builder import BASE_IMAGE, plan_builder
from modelyard.images.dependencies import DependencyPlan
from modelyard.network import find_deciding_settings, read_network_profile

if TYPE_CHECKING:
    from modelyard.engines.docker.containers import DockerContainers
    from modelyard.engines.docker.profile import ContainerProfile
    from modelyard.engines.oci.address import Address
    from modelyard.engines.oci.credentials import Credential
    from modelyard.images.bill import Bill


class DockerEngine(DelegatingEngine):
    """Builds images in layers that follow what changes, and runs them; Docker and Podman alike."""

    _images: DockerImages

    def __init__(self, socket: Socket, environ: Mapping[str, str]) -> None:
        self.name = socket.engine
        self.client = Client(socket, environ)
        self._environ = environ
        self._images = DockerImages(self.client)

    @classmethod
    def from_environ(cls, name: str, environ: Mapping[str, str]) -> "DockerEngine":
        """Open the engine `docker` or `podman` at the socket that the environment names, or the usual one."""
        return cls(require_socket(name, environ), environ)

    @cached_property
    def _containers(self) -> "DockerContainers":  # type: ignore[override]
        from modelyard.engines.docker.containers import SHM_SIZE, DockerContainers

        return DockerContainers(self.client, shared_memory=self._environ.get(SHM_SIZE) or None)

    def build(self, context: BuildContext, *, tag: str, on_output: OnOutput = discard) -> Image:
        """See ImageBuilder. What has not changed is found again by its digest, and no container is started for it."""
        tag = normalise_tag(tag)
        if _builds_in_one(context):
            key, make = self._in_one(context, on_output)
        else:
            key, make = self._in_layers(context, on_output)
        with self.client.lock(f"image-{key}", on_output):
            found = self._images.with_key(key)
            if found is not None:
                on_output(f"---> image {found.id[:12]}: nothing has changed, reused")
            id = found.id if found is not None else make()
            self._images.tag(id, tag)
        return replace(self._images.get(id), reused=found is not None)

    def target(self, context: BuildContext) -> Target:
        """See ImageBuilder. The base image is asked for its Python once."""
        from modelyard.engines.docker.interpreter import find_interpreter

        reference = self._environ.get(BASE_IMAGE) or context.arguments["BASE_IMAGE"]
        base = ensure_base(self.client, reference, discard)
        return find_interpreter(self.client, base).target

    def measure(self, reference: str) -> "Bill":
        """See ImageStore."""
        from modelyard.engines.docker.measuring import measure_image

        return measure_image(self.client, self._images.find(reference))

    def remove(self, reference: str) -> Image:
        """See ImageStore."""
        image = self._images.find(reference)
        self.check_unused(image, reference)
        return self._images.remove(image, reference)

    def remove_container(self, name: str) -> None:
        """See Remover."""
        from modelyard.engines.docker.workshop import remove_container

        remove_container(self.client, self.container(name).id)

    def publish(
        self,
        reference: str,
        address: "Address",
        credential: "Credential | None",
        *,
        insecure: bool = False,
        on_transfer: Callable[[int, int], None],
    ) -> tuple[str, int | None]:
        """See ImagePublisher."""
        from modelyard.engines.docker.publishing import push_image

        image = self._images.find(reference)
        return push_image(self.client, image.id, address, credential, insecure=insecure, on_transfer=on_transfer)

    def prune(self) -> Pruned:
        """See ImageStore."""
        from modelyard.engines.docker.pruning import prune

        return prune(self.client)

    def _in_layers(self, context: BuildContext, on_output: OnOutput) -> tuple[str, Callable[[], str]]:
        """The key of the image and how to make it: dependencies shared, the source on top without a container."""
        builder = plan_builder(context, self._environ)
        platform = ensure_platform(self.client, builder, on_output)
        settings = find_deciding_settings(self._environ)
        dependencies = DependencyPlan(context, builder, platform, self.client.namespace, settings)
        plan = ApplicationPlan(context, dependencies)

        def make() -> str:
            from modelyard.engines.docker.application import make_application

            image = self._dependencies(plan.dependencies, on_output)
            on_output(f"---> source: lay {context.name} on it")
            return make_application(self.client, plan, image)

        return plan.key, make

    def _in_one(self, context: BuildContext, on_output: OnOutput) -> tuple[str, Callable[[], str]]:
        """The key of the image and how to make it: everything in one container, by an assemble without stages."""
        from modelyard.engines.docker.one_container import build_in_one, one_container_key, plan_one

        if (context.about.builder / "Dockerfile").is_file():
            builder = self.builder(context, on_output)
        else:
            reference = self._environ.get(BASE_IMAGE) or context.arguments["BASE_IMAGE"]
            builder = ensure_base(self.client, reference, on_output)
        key = one_container_key(context, builder)

        def make() -> str:
            labels = application_labels(context, key, self.client.namespace)
            with self.profile() as profile:
                return build_in_one(self.client, plan_one(context, builder, labels), profile, on_output)

        return key, make

    def builder(self, context: BuildContext, on_output: OnOutput = discard) -> str:
        """The id of a context's builder image, as s2i uses it; built where it is missing."""
        return str(ensure_role(self.client, plan_builder(context, self._environ), "builder", on_output)["Id"])

    def _dependencies(self, plan: DependencyPlan, on_output: OnOutput) -> str:
        with self.client.lock(f"dependencies-{plan.key}", on_output):
            found = find_image(self.client, plan.tag)
            if found is not None:
                on_output(f"---> requirements: equal ones are installed in {plan.tag}, reused")
                return str(found["Id"])
            from modelyard.engines.docker.dependencies import make_dependencies

            with self.profile() as profile:
                return make_dependencies(self.client, plan, profile, on_output)

    def profile(self) -> AbstractContextManager["ContainerProfile"]:
        """What commands in containers get of the user's network settings."""
        from modelyard.engines.docker.profile import container_profile

        return container_profile(read_network_profile(self._environ), self._environ)


def _builds_in_one(context: BuildContext) -> bool:
    """Whether its assemble may know nothing of stages: it is the model's own, or of a builder of scripts alone."""
    return "assemble" in own_scripts(context) or not (context.about.builder / "Dockerfile").is_file()
