"""Builder images: built of builders/<name>/Dockerfile when missing, found again by the digest of what goes into them.

One Dockerfile makes three, each on top of the one before: `platform`, which application images stand on; `toolbox`,
with uv, in which containers install requirements; and `builder`, with the scripts, which s2i uses. Each is made when it
is first needed.
"""

import io
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import modelyard
from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.profile import ContainerProfile, container_profile
from modelyard.engines.docker.workshop import LAST_LINES, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import BuildError, EngineError, WorkspaceError
from modelyard.images.layer import pack
from modelyard.network import read_network_profile

BUILDER_LABEL = "io.modelyard.builder"
BASE_LABEL = "io.modelyard.base"
ROLE_LABEL = "io.modelyard.role"
BASE_IMAGE = "MODELYARD_BASE_IMAGE"
WHEELS = "/tmp/modelyard-wheels"
LIB = "/opt/modelyard/lib"
SCRIPTS = "/usr/libexec/s2i"
Role = Literal["platform", "toolbox", "builder"]
_PIP = "python3 -m venv /tmp/pip && exec /tmp/pip/bin/pip download --disable-pip-version-check --quiet --dest "


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What applications stand on, and the digest of what it is made of."""

    key: str
    id: str


@dataclass(frozen=True)
class BuilderPlan:
    """What goes into a builder image, by its path in the workspace, and the build arguments."""

    name: str
    variant: str
    files: Mapping[str, bytes]
    executable: frozenset[str]
    arguments: Mapping[str, str]

    @property
    def runtime(self) -> Mapping[str, bytes]:
        """The runtime and the scripts, by their path in images: what changes with every modelyard."""
        places = {"src/modelyard/": f"{LIB}/modelyard/", f"builders/{self.name}/s2i/bin/": f"{SCRIPTS}/"}
        return {
            place + name.removeprefix(prefix): content
            for name, content in self.files.items()
            for prefix, place in places.items()
            if name.startswith(prefix)
        }

    @property
    def runtime_key(self) -> str:
        """The digest of the runtime and the scripts."""
        return _digest({}, self.runtime)

    @property
    def key(self) -> str:
        """The digest of all of it."""
        return _digest(self.arguments, self.files)

    @property
    def platform_key(self) -> str:
        """The digest of what platform and toolbox are made of."""
        names = [f"builders/{self.name}/Dockerfile", *self.wanted]
        return _digest(self.arguments, {name: self.files[name] for name in names})

    @property
    def wanted(self) -> list[str]:
        """The requirements files of what these images hold themselves."""
        names = ("builders/tools.txt", f"builders/{self.name}/requirements.txt")
        return [name for name in names if name in self.files]

    @property
    def base(self) -> str:
        """The image it stands on."""
        return self.arguments["BASE_IMAGE"]

    def key_of(self, role: Role) -> str:
        """The digest of what the image of a role is made of."""
        return self.key if role == "builder" else self.platform_key

    def tag(self, role: Role) -> str:
        """What the image is called in the engine's own list."""
        return f"modelyard/{self.name}-{role}:{self.variant}-{self.key_of(role)[:12]}"


def _digest(arguments: Mapping[str, str], files: Mapping[str, bytes]) -> str:
    lines = [f"{name}={value}".encode() for name, value in sorted(arguments.items())]
    return digest_parts([*lines, *(part for name in sorted(files) for part in (name.encode(), files[name]))])


def plan_builder(context: BuildContext, environ: Mapping[str, str]) -> BuilderPlan:
    """Read what the builder of a context is made of; raise WorkspaceError where it has no Dockerfile."""
    builder = context.about.builder
    if not (builder / "Dockerfile").is_file():
        raise WorkspaceError(
            f"{builder}: has no Dockerfile, so no engine of images can make this builder",
            hint="restore the workspace's builders/, or use --engine local",
        )
    package = Path(modelyard.__file__).parent
    paths = {f"builders/{builder.name}/{path.relative_to(builder).as_posix()}": path for path in _files(builder)}
    paths["builders/tools.txt"] = builder.parent / "tools.txt"
    paths["src/modelyard/__init__.py"] = package / "__init__.py"
    runtime = package / "runtime"
    paths |= {f"src/modelyard/runtime/{path.relative_to(runtime).as_posix()}": path for path in _files(runtime)}
    arguments = dict(context.arguments)
    if environ.get(BASE_IMAGE):
        arguments["BASE_IMAGE"] = environ[BASE_IMAGE]
    return BuilderPlan(
        name=builder.name,
        variant=context.about.variant,
        files={name: path.read_bytes() for name, path in paths.items()},
        executable=frozenset(name for name, path in paths.items() if path.stat().st_mode & 0o100),
        arguments=arguments,
    )


def ensure_platform(client: Client, plan: BuilderPlan, on_output: OnOutput) -> Platform:
    """The platform as a plan would make it, on the base image of today."""
    found = ensure_role(client, plan, "platform", on_output)
    key = digest_parts([plan.platform_key.encode(), found["Config"]["Labels"][BASE_LABEL].encode()])
    return Platform(key=key, id=found["Id"])


def ensure_role(client: Client, plan: BuilderPlan, role: Role, on_output: OnOutput) -> Mapping[str, Any]:
    """The image of one role, built where it is missing."""
    found = _find_role(client, plan, role)
    if found is None:
        with client.lock(f"{role}-{plan.key_of(role)}", on_output):
            found = _find_role(client, plan, role) or _make_role(client, plan, role, on_output)
    return found


def _find_role(client: Client, plan: BuilderPlan, role: Role) -> Mapping[str, Any] | None:
    """The image of one role, unless the base image is another by now."""
    found, base = find_image(client, plan.tag(role)), find_image(client, plan.base)
    if found is None or (base is not None and base["Id"] != found["Config"]["Labels"].get(BASE_LABEL)):
        return None
    return found


def _make_role(client: Client, plan: BuilderPlan, role: Role, on_output: OnOutput) -> Mapping[str, Any]:
    """Get the image's wheels in a container of the base image, then build it with no network."""
    on_output(f"---> builder image {plan.tag(role)}: get what it needs ({' and '.join(plan.wanted)})")
    base = ensure_base(client, plan.base, on_output)
    with container_profile(read_network_profile(client.environ), client.environ) as profile:
        wheels = _download_wheels(client, plan, profile, on_output)
    on_output(f"---> builder image {plan.tag(role)}: build it of builders/{plan.name}/Dockerfile")
    _build(client, plan, role, base=base, wheels=wheels, on_output=on_output)
    found = _find_role(client, plan, role)
    if found is None:
        raise EngineError(f"{plan.tag(role)} is gone as soon as it was built", hint="build again")
    return found


def ensure_base(client: Client, reference: str, on_output: OnOutput) -> str:
    """The id of the base image, pulled where the engine has not got it."""
    found = find_image(client, reference)
    if found is None:
        try:
            pull_image(client, reference, on_output)
        except EngineError as error:
            raise EngineError(
                error.message,
                hint="no registry within reach? `make base-image` makes one of Debian packages and says how to use it; "
                f"{BASE_IMAGE} names another image; --engine local needs none",
            ) from None
        found = find_image(client, reference)
    if found is None:
        raise EngineError(f"{reference} was pulled, but is not there", hint=f"name another with {BASE_IMAGE}")
    return str(found["Id"])


def pull_image(client: Client, reference: str, on_output: OnOutput) -> None:
    """Pull an image from its registry, with the login that `docker login` left; raise EngineError where it can't be."""
    on_output(f"---> image {reference}: pull it")
    with client.talking(f"pull {reference}"):
        for event in client.api.pull(*_split(reference), stream=True, decode=True):
            _raise_error(event, f"pull {reference}")


def _download_wheels(
    client: Client, plan: BuilderPlan, profile: ContainerProfile, on_output: OnOutput
) -> dict[str, bytes]:
    import tarfile

    lists = {name.replace("/", "-"): plan.files[name] for name in plan.wanted}
    with open_workshop(client, plan.base, folders=profile.folders, network=profile.network) as workshop:
        workshop.upload(pack(lists), "/tmp")
        command = _PIP + " ".join([WHEELS, *(f"-r /tmp/{name}" for name in sorted(lists))])
        code, last = workshop.execute(
            ["sh", "-c", command], user="0", environment=profile.variables, on_output=on_output
        )
        if code:
            raise BuildError(
                f"{plan.base}: pip could not get what {' and '.join(plan.wanted)} ask for (exit code {code}):\n"
                + "\n".join(f"  {line}" for line in last[-15:]),
                hint="`modelyard doctor` shows the network settings; the base image needs Python 3.11 with venv",
            )
        with workshop.download(WHEELS) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            return {
                f"wheels/{Path(member.name).name}": archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in archive
                if member.isreg()
            }


def _build(
    client: Client, plan: BuilderPlan, role: Role, *, base: str, wheels: Mapping[str, bytes], on_output: OnOutput
) -> None:
    archive = pack({**plan.files, **wheels}, executable=plan.executable)
    run_build(
        client,
        io.BytesIO(archive),
        action=f"build {plan.tag(role)}",
        on_output=on_output,
        dockerfile=f"builders/{plan.name}/Dockerfile",
        buildargs={**plan.arguments, "PIP_NO_INDEX": "1"},
        target=role,
        tag=plan.tag(role),
        labels={
            BUILDER_LABEL: plan.key_of(role),
            BASE_LABEL: base,
            ROLE_LABEL: role,
            "io.modelyard.variant": plan.variant,
        },
        network_mode="none",
    )


def run_build(client: Client, archive: IO[bytes], *, action: str, on_output: OnOutput, **options: Any) -> str:
    """Let the engine build a Dockerfile of the context `archive`; return the image's id."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    image = ""
    with client.talking(action):
        events = client.api.build(
            fileobj=archive, custom_context=True, rm=True, forcerm=True, decode=True, use_config_proxy=False, **options
        )
        for event in events:
            _raise_error(event, action, last)
            image = event.get("aux", {}).get("ID", image) or image
            for line in event.get("stream", "").splitlines():
                last.append(line)
                image = _BUILT.sub(r"\1", line) if _BUILT.fullmatch(line) else image
                if line.strip() and not is_chatter(line):
                    on_output(line)
    return image


_BUILT = re.compile(r"Successfully built ([0-9a-f]+)")
_CHATTER = re.compile(
    r"(?:\[\d+/\d+\] )?(?:(?:Step|STEP) \d+/\d+ ?: .*|COMMIT .*)"
    r"| ?-+> (?:Using cache.*|Running in .*|Removed intermediate .*|[0-9a-f]{8,64})"
    r"|Remov(?:ed|ing) intermediate container .*|\[Warning\] One or more build-args .*"
    r"|Successfully (?:built|tagged) .*|[0-9a-f]{64}"
)


def is_chatter(line: str) -> bool:
    """Tell whether Docker's or Podman's builder says this of itself, not a command of the Dockerfile.

    >>> [is_chatter(line) for line in ("Step 2/19 : USER 1001", " ---> Running in c5d619ff593a", "COMMIT a")]
    [True, True, True]
    >>> is_chatter("---> Installing the application"), is_chatter("Successfully installed uv-0.9.2")
    (False, False)
    """
    return _CHATTER.fullmatch(line) is not None


def _raise_error(event: Mapping[str, Any], action: str, last: Iterable[str] = ()) -> None:
    if "error" in event:
        tail = "".join(f"\n  {line}" for line in [*last][-15:])
        raise EngineError(f"the engine could not {action}: {event['error']}{tail}")


def find_image(client: Client, reference: str) -> Mapping[str, Any] | None:
    """What the engine tells of an image; None where it has none of that name."""
    from docker.errors import ImageNotFound

    try:
        with client.talking(f"look at {reference}"):
            image: Mapping[str, Any] = client.api.inspect_image(reference)
            return image
    except EngineError as error:
        if isinstance(error.__cause__, ImageNotFound):
            return None
        raise


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]


def _split(reference: str) -> tuple[str, str]:
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")
