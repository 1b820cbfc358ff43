"""Build without an engine: base image, platform, requirements and source are layers of a layout, and nothing is run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from modelyard.context.build_context import BuildContext
from modelyard.engines.oci.bases import Base, open_base
from modelyard.engines.oci.images import APPLICATION, OciImages
from modelyard.engines.oci.layout import STORE_LOCK, Descriptor
from modelyard.engines.oci.setup import check_setup
from modelyard.engines.oci.shelf_layers import write_shelves
from modelyard.engines.oci.stacking import Stacked, read_stacked, stack, stand_on
from modelyard.engines.oci.wheels import explain_refusal
from modelyard.engines.protocols import OnOutput
from modelyard.errors import BuildError
from modelyard.images.application import ApplicationPlan, own_scripts, write_application
from modelyard.images.builder import BASE_IMAGE, BuilderPlan, Platform, plan_builder
from modelyard.images.configuration import Change
from modelyard.images.dependencies import DependencyPlan
from modelyard.images.laying_out import install
from modelyard.images.platform import PASSWD, SHADOW, OldFile, plan_platform, write_platform
from modelyard.images.platforms import TargetPlatform
from modelyard.images.staging import NeedsContainerError
from modelyard.machine.home import Home
from modelyard.network import find_deciding_settings, read_network_profile
from modelyard.runtime.scratch import scratch_folder


@dataclass(frozen=True)
class OciBuilder:
    """Builds for one platform into the layout of `images`; `environ` is the user's environment."""

    home: Home
    images: OciImages
    environ: Mapping[str, str]
    platform: TargetPlatform

    def base(self, context: BuildContext, on_output: OnOutput) -> Base:
        """The base image of a context, for the platform."""
        reference = self.environ.get(BASE_IMAGE) or context.arguments["BASE_IMAGE"]
        return open_base(reference, self.platform, self.environ, self.images.layout, on_output=on_output)

    def build(self, context: BuildContext, tag: str | None, on_output: OnOutput) -> tuple[Descriptor, bool]:
        """Build a context and tag it, where it gets one; return its descriptor, and whether nothing had changed."""
        _check_scripts(context)
        with self.home.lock(STORE_LOCK, shared=True):
            base = self.base(context, on_output)
            check_setup(context, base, self.environ, on_output)
            builder = plan_builder(context, self.environ)
            platform = self._platform(context, builder, base, on_output)
            settings = find_deciding_settings(self.environ)
            known = Platform(key=builder.platform_on(base.id), id=platform.id)
            dependencies = DependencyPlan(context, builder, known, self.images.namespace, settings)
            plan = ApplicationPlan(context, dependencies)

            def make() -> tuple[Descriptor, Stacked]:
                below = self._dependencies(dependencies, platform, base, on_output)
                on_output(f"---> source: lay {context.name} on it")
                with scratch_folder() as folder:
                    change = write_application(plan, below.parent.config, folder)
                    return stack(self.images.layout, below, change)

            with self._locked(f"oci-image-{plan.key}", on_output):
                found = self.images.with_key(plan.key)
                if found is not None:
                    on_output(f"---> image {plan.key[:12]}: nothing has changed, reused")
                descriptor = found if found is not None else make()[0]
                self.images.keep(descriptor, role=APPLICATION, key=plan.key, tag=tag)
        return descriptor, found is not None

    def _platform(self, context: BuildContext, builder: BuilderPlan, base: Base, on_output: OnOutput) -> Stacked:
        key = builder.platform_on(base.id)
        return self._find_or_make(
            "platform", key, lambda: self._make_platform(context, builder, base, on_output), on_output
        )

    def _make_platform(
        self, context: BuildContext, builder: BuilderPlan, base: Base, on_output: OnOutput
    ) -> tuple[Descriptor, Stacked]:
        on_output(f"---> platform {builder.name}: lay it on {base.reference} for {self.platform}")
        with self._explaining(context, base), scratch_folder(self.home.layers) as folder:
            plan = plan_platform(builder)
            change = write_platform(
                plan,
                base.id,
                {name: found for name in (PASSWD, SHADOW) if (found := _old_file(base, name))},
                base.interpreter,
                folder,
                environ=self.environ,
                # pip takes a second to tell its settings
                network=read_network_profile(self.environ).variables if plan.has_gateway else {},
                on_output=on_output,
            )
            return stack(self.images.layout, stand_on(base), change)

    def _dependencies(self, plan: DependencyPlan, platform: Stacked, base: Base, on_output: OnOutput) -> Stacked:
        return self._find_or_make(
            "dependencies", plan.key, lambda: self._make_dependencies(plan, platform, base, on_output), on_output
        )

    def _make_dependencies(
        self, plan: DependencyPlan, platform: Stacked, base: Base, on_output: OnOutput
    ) -> tuple[Descriptor, Stacked]:
        network = read_network_profile(self.environ).variables
        with self._explaining(plan.context, base), scratch_folder(self.home.layers) as folder:
            laid = install(
                *(plan, platform.id, base.interpreter, folder),
                environ=self.environ,
                network=network,
                on_output=on_output,
            )
            layers = write_shelves(self.images.layout, laid, base.interpreter, folder, on_output)
            return stack(self.images.layout, platform, Change(layers=layers, labels=laid.labels))

    def _find_or_make(
        self, role: str, key: str, make: Callable[[], tuple[Descriptor, Stacked]], on_output: OnOutput
    ) -> Stacked:
        """What a key was made into, or make it; who comes meanwhile waits, and finds it."""
        found = self.images.with_key(key, role)
        if found is None:
            with self._locked(f"oci-{role}-{key}", on_output):
                found = self.images.with_key(key, role)
                if found is None:
                    descriptor, made = make()
                    self.images.keep(descriptor, role=role, key=key)
                    return made
        if role == "dependencies":
            on_output(f"---> requirements: equal ones are installed in {key[:12]}, reused")
        return read_stacked(self.images.layout, found)

    @contextmanager
    def _locked(self, name: str, on_output: OnOutput) -> Iterator[None]:
        waiting = "---> another build is making the same, wait for that"
        with self.home.lock(name, on_wait=lambda: on_output(waiting)):
            yield

    @contextmanager
    def _explaining(self, context: BuildContext, base: Base) -> Iterator[None]:
        try:
            yield
        except BuildError as error:
            raise explain_refusal(error, context, base.interpreter, self.platform) from None


def _check_scripts(context: BuildContext) -> None:
    """Raise BuildError for an assemble of the model's own, or of a builder of scripts: it would have to be run."""
    if "assemble" in own_scripts(context) or not (context.about.builder / "Dockerfile").is_file():
        whose = "its own .s2i/bin/assemble" if "assemble" in own_scripts(context) else str(context.about.builder)
        raise NeedsContainerError(
            f"{context.name}: {whose} has to be run, and the engine oci runs nothing",
            hint="build with an engine: ENGINE=docker",
        )


def _old_file(base: Base, name: str) -> OldFile | None:
    found = base.tree.find(f"/{name}")
    if found is None or found.member.kind != "file":
        return None
    member = found.member
    return OldFile(content=base.read(found), mode=member.mode, uid=member.uid, gid=member.gid)
