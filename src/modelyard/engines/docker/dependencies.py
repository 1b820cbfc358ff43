"""The dependency image: a builder's platform with the layers of setup.sh and requirements, shared by all equal ones."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from modelyard.context import BuildContext
from modelyard.context.build_context import digest_parts
from modelyard.context.requirements import without_hashes
from modelyard.engines.docker.archive import Change
from modelyard.engines.docker.builder_image import LIB, ROLE_LABEL, SCRIPTS, BuilderPlan, Platform, find_image
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.frameworks import FRAMEWORKS, export_new, install_pins, resolve_pins, split_pins
from modelyard.engines.docker.instructions import format_instructions
from modelyard.engines.docker.layer import Layer, pack, write_layer
from modelyard.engines.docker.namespace import Namespace
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.stack import stack_layers
from modelyard.engines.docker.workshop import Folder, Workshop, copied, open_workshop
from modelyard.engines.local.environments import RECIPE, explain_build_failure
from modelyard.engines.protocols import OnOutput
from modelyard.errors import BuildError
from modelyard.runtime.application import DEFAULT_ENVIRONMENT
from modelyard.runtime.pythons import PYTHON_VERSION_FILE

KEY_LABEL = "io.modelyard.dependencies"
FRAMEWORKS_LABEL = "io.modelyard.frameworks"
MODULES_LABEL = "io.modelyard.modules"
Modules = Mapping[str, frozenset[str]]
"""What each environment lets Python import: top-level modules by the environment's name."""
CACHE = "/opt/modelyard/cache"
CACHE_VOLUME = "MODELYARD_BUILD_CACHE"
"""The engine's volume that keeps what uv downloaded, from build to build."""
TOOLS = "/opt/modelyard/tools"
ENVIRONMENTS = "/opt/modelyard/environments"
BENCH = "/tmp/modelyard"
"""Where the runtime and the scripts lie while they work: below them, no layer has them."""
# Folders of installed packages that nothing imports in production; they are a third of what scikit-learn installs.
LEFT_OUT = frozenset({"tests"})
_FIXED = {
    "UV_CACHE_DIR": CACHE,
    "UV_LINK_MODE": "copy",  # the cache is another file system
    "PYC_INVALIDATION_MODE": "UNCHECKED_HASH",  # layers have one fixed time, which a .pyc must not be compared with
    "UV_PYTHON_INSTALL_DIR": f"{ENVIRONMENTS}/.pythons",  # an environment of another Python takes it along
    "HOME": "/tmp",
    "UV": f"{TOOLS}/bin/uv",
    "MODELYARD_LIB": f"{BENCH}{LIB}",
}


@dataclass(frozen=True)
class DependencyPlan:
    """What a dependency image is made of; `key` is its digest."""

    context: BuildContext
    builder: BuilderPlan
    platform: Platform
    namespace: Namespace

    @property
    def key(self) -> str:
        """The digest of platform, build arguments, the code that installs, setup.sh and requirements."""
        arguments = [f"{name}={value}" for name, value in sorted(self.context.arguments.items())]
        recipe = [self.builder.runtime[f"{LIB}/modelyard/runtime/{name}"] for name in RECIPE]
        script = self.builder.runtime[f"{SCRIPTS}/assemble"]
        words = [self.platform.key, self.context.dependencies_digest, *LEFT_OUT, *sorted(FRAMEWORKS), *arguments]
        return digest_parts([script, *recipe, *map(str.encode, words)])

    @property
    def tag(self) -> str:
        """What the image is called in the engine's own list."""
        return self.namespace.reference(f"modelyard/dependencies:{self.key[:20]}")

    def find(self, client: Client) -> str | None:
        """The id of the image, if it is there."""
        found = find_image(client, self.tag)
        return None if found is None else str(found["Id"])

    def frameworks_tag(self, pins: Iterable[str]) -> str:
        """What the image of these frameworks is called in the engine's own list."""
        key = digest_parts(map(str.encode, [self.platform.key, *LEFT_OUT, *pins]))
        return self.namespace.reference(f"modelyard/frameworks:{key[:20]}")

    @property
    def may_split(self) -> bool:
        """Whether frameworks can have their own layer: one environment of the platform's Python, and no setup.sh."""
        (first, *others) = self.context.environments
        return not self.has_setup and not others and first.python is None and bool(first.requirements)

    @property
    def has_setup(self) -> bool:
        """Whether there is a setup.sh to run."""
        return (self.context.source / "setup.sh").is_file()


def make_dependencies(client: Client, plan: DependencyPlan, profile: ContainerProfile, on_output: OnOutput) -> str:
    """Install what setup.sh and the requirements ask for, in layers; return the tagged image's id."""
    with TemporaryDirectory(prefix="modelyard-layer-") as folder:
        image = None
        if plan.may_split:
            try:
                image = _make_split(client, plan, profile, on_output, Path(folder))
            except BuildError as error:
                on_output(f"---> requirements: not in two layers ({error.message}), all in one")
        if image is None:
            image = _make_whole(client, plan, profile, on_output, Path(folder))
    with client.talking(f"tag {plan.tag}"):
        client.api.tag(image, *plan.tag.split(":"))
    return image


def _make_whole(
    client: Client, plan: DependencyPlan, profile: ContainerProfile, on_output: OnOutput, folder: Path
) -> str:
    """Run the builder's assemble for the stages setup and requirements: a layer each."""
    base = _run_setup(client, plan, profile, on_output) if plan.has_setup else plan.platform.id
    starts_from = base if plan.has_setup else plan.platform.toolbox
    with _open_bench(client, starts_from, profile, on_output) as workshop:
        if plan.has_setup:
            _bring_tools(client, plan.platform, workshop)
        _assemble(workshop, plan, "requirements", profile, user="1001:0", on_output=on_output)
        on_output("---> requirements: make the layer")
        with workshop.download(f"{ENVIRONMENTS}/.") as archive:
            layer = write_layer(folder / "layer.tar", archive, ENVIRONMENTS, is_left_out=is_left_out)
    return _stack(client, plan, base, layer, layer.modules)


def _make_split(
    client: Client, plan: DependencyPlan, profile: ContainerProfile, on_output: OnOutput, folder: Path
) -> str | None:
    """Install the frameworks and the rest, a layer each; None where requirements don't resolve or don't split."""
    variables = {**plan.context.arguments, **profile.variables, **_FIXED}
    excluded = plan.context.arguments.get("EXCLUDED_PACKAGES", "").split()
    text = "".join(f"{line}\n" for line in plan.context.requirements)
    with _open_bench(client, plan.platform.toolbox, profile, on_output) as workshop:
        pins = resolve_pins(workshop, text, excluded, variables, on_output)
        frameworks, rest = split_pins(pins or ())
        if not frameworks or not rest:
            return None
        tag = plan.frameworks_tag(frameworks)
        found = find_image(client, tag)
        if found is None:
            install_pins(workshop, frameworks, variables, ENVIRONMENTS, on_output)
            layer = export_new(workshop, folder / "frameworks.tar", ENVIRONMENTS)
            labels = {
                **plan.namespace.labels,
                ROLE_LABEL: "frameworks",
                FRAMEWORKS_LABEL: tag,
                MODULES_LABEL: " ".join(sorted(layer.modules[DEFAULT_ENVIRONMENT])),
            }
            title = f"frameworks: {', '.join(map(without_hashes, frameworks))}"
            below = stack_layers(client, plan.platform.id, Change(layers=[(title, layer)], labels=labels))
            with client.talking(f"tag {tag}"):
                client.api.tag(below, *tag.split(":"))
            modules = layer.modules[DEFAULT_ENVIRONMENT]
            install_pins(workshop, rest, variables, ENVIRONMENTS, on_output)
            layer = export_new(workshop, folder / "layer.tar", ENVIRONMENTS)
            return _stack(client, plan, below, layer, add_modules(layer.modules, modules))
    on_output(f"---> requirements: {', '.join(map(without_hashes, frameworks))} are installed in {tag}, reused")
    below, modules = str(found["Id"]), frozenset(found["Config"]["Labels"][MODULES_LABEL].split())
    with _open_bench(client, below, profile, on_output) as workshop:
        _bring_tools(client, plan.platform, workshop)
        own = f"cd {ENVIRONMENTS}/default && chown 1001:0 . bin lib/python*/site-packages"
        workshop.execute(["sh", "-c", own], user="0", environment={}, on_output=on_output)
        install_pins(workshop, rest, variables, ENVIRONMENTS, on_output)
        layer = export_new(workshop, folder / "layer.tar", ENVIRONMENTS)
    return _stack(client, plan, below, layer, add_modules(layer.modules, modules))


def _stack(client: Client, plan: DependencyPlan, below: str, layer: Layer, modules: Modules) -> str:
    lines = [line for each in plan.context.environments for line in each.requirements]
    requirements = ", ".join(map(without_hashes, lines))
    labels = {
        **plan.namespace.labels,
        KEY_LABEL: plan.key,
        ROLE_LABEL: "dependencies",
        **{
            modules_label(each.name): " ".join(sorted(modules.get(each.name, ()))) for each in plan.context.environments
        },
    }
    change = Change(layers=[(f"requirements: {requirements or 'none'}", layer)], labels=labels)
    return stack_layers(client, below, change)


def add_modules(modules: Modules, others: frozenset[str]) -> Modules:
    """The modules of a layer with those of the one below, for an image of one environment."""
    return {DEFAULT_ENVIRONMENT: modules.get(DEFAULT_ENVIRONMENT, frozenset()) | others}


def modules_label(environment: str) -> str:
    """The label that names the modules of one environment."""
    return MODULES_LABEL if environment == DEFAULT_ENVIRONMENT else f"{MODULES_LABEL}.{environment}"


@contextmanager
def _open_bench(client: Client, image: str, profile: ContainerProfile, on_output: OnOutput) -> Iterator[Workshop]:
    """A container to install in, with the network profile and the download cache."""
    folders = [*profile.folders, _cache(client)]
    with open_workshop(client, image, folders=folders, network=profile.network) as workshop:
        workshop.upload(pack({"modelyard/.keep": b""}), "/tmp")
        own = ["chown", "1001:0", CACHE, BENCH]
        workshop.execute(own, user="0", environment={}, on_output=on_output)
        yield workshop


def is_left_out(name: PurePosixPath) -> bool:
    """Whether a path below environments/ is for no layer: the gateway has its own, and tests are for developers."""
    packages = name.parts[name.parts.index("site-packages") :] if "site-packages" in name.parts else ()
    return name.parts[0] == "gateway" or not LEFT_OUT.isdisjoint(packages)


def _cache(client: Client) -> Folder:
    return Folder(source=client.environ.get(CACHE_VOLUME, "modelyard-uv-cache"), target=CACHE, read_only=False)


def _run_setup(client: Client, plan: DependencyPlan, profile: ContainerProfile, on_output: OnOutput) -> str:
    """Run setup.sh as root and commit what it did; apt's lists and caches stay out."""
    with open_workshop(client, plan.platform.id, folders=profile.folders, network=profile.network) as workshop:
        _assemble(workshop, plan, "setup", profile, user="0", on_output=on_output)
        tidy = f"rm -rf /tmp/src {BENCH} /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb"
        workshop.execute(["sh", "-c", tidy], user="0", environment={}, on_output=on_output)
        with client.talking("look at the platform"):
            config = client.api.inspect_image(plan.platform.id)["Config"]
        labels = {**plan.namespace.labels, ROLE_LABEL: "setup"}
        changes = [f"USER {config.get('User') or 0}", *format_instructions("LABEL", labels)]
        return workshop.commit(title="setup.sh: native dependencies", changes=[*changes, f'CMD ["{SCRIPTS}/run"]'])


def _assemble(
    workshop: Workshop,
    plan: DependencyPlan,
    stage: str,
    profile: ContainerProfile,
    *,
    user: str,
    on_output: OnOutput,
) -> None:
    files = {f"modelyard{name}": content for name, content in plan.builder.runtime.items()}
    scripts = [name for name in files if name.startswith(f"modelyard{SCRIPTS}/")]
    workshop.upload(pack({**files, **_dependency_files(plan.context)}, executable=scripts), "/tmp")
    variables = {
        **plan.context.arguments,
        **profile.variables,
        **_FIXED,
        "MODELYARD_STAGES": stage,
        "MODELYARD_REQUIREMENTS_FILE": plan.context.about.requirements,
    }
    command = [f"{BENCH}{SCRIPTS}/assemble"]
    code, last = workshop.execute(command, user=user, environment=variables, on_output=on_output)
    if code:
        raise explain_build_failure(plan.context.name, code, last)


def _dependency_files(context: BuildContext) -> Mapping[str, bytes]:
    """Only what the key is a digest of: a setup.sh that reads another file of the source fails at once, not later."""
    names = ("setup.sh", "requirements.txt", PYTHON_VERSION_FILE)
    paths = [each.folder / name for each in context.environments for name in names]
    files = {f"src/{path.relative_to(context.source)}": path.read_bytes() for path in paths if path.is_file()}
    return files or {"src/.keep": b""}


def _bring_tools(client: Client, platform: Platform, workshop: Workshop) -> None:
    with open_workshop(client, platform.toolbox, start=False) as store, copied(store, TOOLS) as archive:
        workshop.upload(archive, str(Path(TOOLS).parent))
