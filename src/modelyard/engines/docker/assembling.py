"""Run the builder's assemble in a container: setup.sh always, requirements where they can't be laid out without one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from modelyard.context.build_context import BuildContext
from modelyard.engines.docker.builder_image import ensure_role
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.pulling import find_image
from modelyard.engines.docker.workshop import Folder, Workshop, copied, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.images.builder import ENVIRONMENTS, LIB, ROLE_LABEL, SCRIPTS
from modelyard.images.dependencies import SETUP_LABEL, DependencyPlan
from modelyard.images.distributions import is_left_out
from modelyard.images.instructions import format_instructions
from modelyard.images.layer import Layer, pack, write_layer
from modelyard.machine.failure import explain_build_failure
from modelyard.runtime.assembling.pythons import PYTHON_VERSION_FILE

CACHE = "/opt/modelyard/cache"
CACHE_VOLUME = "MODELYARD_BUILD_CACHE"
"""The engine's volume that keeps what uv downloaded, from build to build."""
TOOLS = "/opt/modelyard/tools"
BENCH = "/tmp/modelyard"
"""Where the runtime and the scripts lie while they work: below them, no layer has them."""
_FIXED = {
    "UV_CACHE_DIR": CACHE,
    "UV_LINK_MODE": "copy",  # the cache is another file system
    "PYC_INVALIDATION_MODE": "UNCHECKED_HASH",  # layers have one fixed time, which a .pyc must not be compared with
    "UV_PYTHON_INSTALL_DIR": f"{ENVIRONMENTS}/.pythons",  # an environment of another Python takes it along
    "HOME": "/tmp",
    "UV": f"{TOOLS}/bin/uv",
    "MODELYARD_LIB": f"{BENCH}{LIB}",
}


def make_setup(client: Client, plan: DependencyPlan, profile: ContainerProfile, on_output: OnOutput) -> str:
    """Run setup.sh as root and commit what it did, unless that is there; apt's lists and caches stay out."""
    found = find_image(client, plan.setup_tag)
    if found is not None:
        on_output(f"---> setup: the same setup.sh ran for {plan.setup_tag}, reused")
        return str(found["Id"])
    with open_workshop(client, plan.platform.id, folders=profile.folders, network=profile.network) as workshop:
        _upload(workshop, plan, _files(plan.context, "setup.sh"))
        _assemble(workshop, plan, "setup", profile, user="0", on_output=on_output)
        tidy = f"rm -rf /tmp/src {BENCH} /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb"
        workshop.execute(["sh", "-c", tidy], user="0", environment={}, on_output=on_output)
        with client.talking("look at the platform"):
            config = client.api.inspect_image(plan.platform.id)["Config"]
        labels = {**plan.namespace.labels, ROLE_LABEL: "setup", SETUP_LABEL: plan.setup_tag}
        changes = [f"USER {config.get('User') or 0}", *format_instructions("LABEL", labels)]
        made = workshop.commit(title="setup.sh: native dependencies", changes=[*changes, f'CMD ["{SCRIPTS}/run"]'])
    with client.talking(f"tag {plan.setup_tag}"):
        client.api.tag(made, *plan.setup_tag.split(":"))
    return made


def assemble_requirements(
    client: Client, plan: DependencyPlan, base: str, profile: ContainerProfile, on_output: OnOutput, path: Path
) -> Layer:
    """Install the requirements in a container of `base`; return what that adds, as one layer."""
    toolbox = str(ensure_role(client, plan.builder, "toolbox", on_output)["Id"])
    with _open_bench(client, base if plan.has_setup else toolbox, profile, on_output) as workshop:
        if plan.has_setup:
            _bring_tools(client, toolbox, workshop)
        _upload(workshop, plan, _files(plan.context, "requirements.txt", PYTHON_VERSION_FILE))
        _assemble(workshop, plan, "requirements", profile, user="1001:0", on_output=on_output)
        on_output("---> requirements: make the layer")
        with workshop.download(f"{ENVIRONMENTS}/.") as archive:
            return write_layer(path, archive, ENVIRONMENTS, is_left_out=_is_left_out)


@contextmanager
def _open_bench(client: Client, image: str, profile: ContainerProfile, on_output: OnOutput) -> Iterator[Workshop]:
    """A container to install in, with the network profile and the download cache."""
    cache = Folder(source=client.environ.get(CACHE_VOLUME, "modelyard-uv-cache"), target=CACHE, read_only=False)
    with open_workshop(client, image, folders=[*profile.folders, cache], network=profile.network) as workshop:
        workshop.upload(pack({"modelyard/.keep": b""}), "/tmp")
        own = ["chown", "1001:0", CACHE, BENCH]
        workshop.execute(own, user="0", environment={}, on_output=on_output)
        yield workshop


def _is_left_out(name: PurePosixPath) -> bool:
    """What no layer has: the gateway has its own, and uv's lock is touched every time."""
    return name.parts[0] == "gateway" or name.parts[1:] == (".lock",) or is_left_out(name)


def _upload(workshop: Workshop, plan: DependencyPlan, source: Mapping[str, bytes]) -> None:
    """Bring the runtime, the scripts and of the source only what the key is a digest of."""
    files = {f"modelyard{name}": content for name, content in plan.builder.runtime.items()}
    scripts = [name for name in files if name.startswith(f"modelyard{SCRIPTS}/")]
    workshop.upload(pack({**files, **source}, executable=scripts), "/tmp")


def _assemble(
    workshop: Workshop,
    plan: DependencyPlan,
    stage: str,
    profile: ContainerProfile,
    *,
    user: str,
    on_output: OnOutput,
) -> None:
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


def _files(context: BuildContext, *names: str) -> Mapping[str, bytes]:
    paths = [each.folder / name for each in context.environments for name in names]
    files = {f"src/{path.relative_to(context.source)}": path.read_bytes() for path in paths if path.is_file()}
    return files or {"src/.keep": b""}


def _bring_tools(client: Client, toolbox: str, workshop: Workshop) -> None:
    with open_workshop(client, toolbox, start=False) as store, copied(store, TOOLS) as archive:
        workshop.upload(archive, str(Path(TOOLS).parent))
