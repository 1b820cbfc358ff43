"""The platform of a builder, made without running anything: its user, its folders, and of the daemon the gateway.

It does what the stage `platform` of the builder's Dockerfile does. What that sets is read from there; what it runs is
known here word for word, and a line that is another needs an engine.
"""

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.images.builder import BASE_LABEL, BUILDER_LABEL, ROLE_LABEL, BuilderPlan
from modelyard.images.configuration import Change
from modelyard.images.distributions import find_stray, read_distributions
from modelyard.images.interpreter import Interpreter
from modelyard.images.layer import GID, MTIME, UID, Layer, digest_file, new_tar
from modelyard.images.recipe import (
    Instruction,
    expand,
    find_stage,
    read_command,
    read_health,
    read_instructions,
    read_pairs,
)
from modelyard.images.shelves import Shelf
from modelyard.images.staging import NeedsContainerError, open_stage
from modelyard.machine.output import OnOutput

GATEWAY = "gateway"
PASSWD, SHADOW = "etc/passwd", "etc/shadow"
_USER = "modelyard"
_OWN = "/opt/modelyard/environments /opt/modelyard/cache"
_RUN_PLATFORM = (
    'useradd --uid 1001 --gid 0 --home-dir "$APP_ROOT" --no-create-home --shell /usr/sbin/nologin modelyard '
    f'&& mkdir -p "$APP_ROOT" {_OWN} /opt/modelyard/network && chown 1001:0 "$APP_ROOT" {_OWN} '
    f'&& chmod g=u "$APP_ROOT" {_OWN}'
)
_COPY_GATEWAY = f"--from=tools /opt/modelyard/environments/{GATEWAY} /opt/modelyard/environments/{GATEWAY}"
_PIP = "/tmp/pip/bin/pip"
_RUN_TOOLS = (
    f"python3 -m venv /tmp/pip && {_PIP} install --disable-pip-version-check --quiet --no-compile "
    "--find-links /tmp/wheels --prefix /opt/modelyard/tools -r /tmp/wheels/tools.txt "
    "&& rm -rf /opt/modelyard/tools/lib"
)
_RUN_GATEWAY = (
    f"{_RUN_TOOLS} && python3 -m venv --without-pip /opt/modelyard/environments/{GATEWAY} "
    f"&& {_PIP} --python /opt/modelyard/environments/{GATEWAY}/bin/python install --disable-pip-version-check "
    "--quiet --find-links /tmp/wheels -r /tmp/wheels/requirements.txt"
)


@dataclass(frozen=True, kw_only=True)
class OldFile:
    """A file of the base image that the platform adds a line to."""

    content: bytes
    mode: int
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, kw_only=True)
class PlatformPlan:
    """What a builder's platform adds to the base image."""

    builder: BuilderPlan
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    command: Sequence[str]
    settings: Mapping[str, object]
    """Of an image's configuration, what is neither variable, label nor command."""
    has_gateway: bool

    @property
    def app_root(self) -> str:
        """Where applications lie."""
        return self.environment["APP_ROOT"]

    def labels_on(self, base: str) -> dict[str, str]:
        """The labels of the platform that stands on the base image of the id `base`."""
        own = {
            BUILDER_LABEL: self.builder.key_of("platform"),
            BASE_LABEL: base,
            ROLE_LABEL: "platform",
            "io.modelyard.variant": self.builder.variant,
        }
        return {**self.labels, **own}


def plan_platform(builder: BuilderPlan) -> PlatformPlan:
    """Read what the platform is; raise NeedsContainerError for a line that only an engine can do."""
    file = f"builders/{builder.name}/Dockerfile"
    instructions = list(read_instructions(builder.files[file].decode()))
    tools = find_stage(instructions, "tools", file)
    stage = find_stage(instructions, "platform", file)
    variables = dict(builder.arguments)
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}
    settings: dict[str, object] = {}
    command: Sequence[str] = []
    for each in stage:
        known = {**variables, **environment}
        match each.keyword:
            case "ARG":
                name, _, default = each.value.partition("=")
                variables.setdefault(name, expand(default, known))
            case "ENV":
                environment |= read_pairs(each.value, known)
            case "LABEL":
                labels |= read_pairs(each.value, known)
            case "WORKDIR":
                settings["WorkingDir"] = expand(each.value, known)
            case "USER":
                settings["User"] = expand(each.value, known)
            case "EXPOSE":
                ports = expand(each.value, known).split()
                settings["ExposedPorts"] = {port if "/" in port else f"{port}/tcp": {} for port in ports}
            case "HEALTHCHECK":
                settings["Healthcheck"] = read_health(each.value)
            case "CMD":
                command = read_command(each.value)
            case _:
                _check_known(each, {"RUN": [_RUN_PLATFORM], "COPY": [_COPY_GATEWAY]}, file)
    copies = any(each.keyword == "COPY" for each in stage)
    for each in tools:
        if each.keyword == "RUN":
            _check_known(each, {"RUN": [_RUN_GATEWAY if copies else _RUN_TOOLS]}, file)
    if environment.get("APP_ROOT", "") != settings.get("WorkingDir"):
        raise NeedsContainerError(f"{file}: its WORKDIR is not its APP_ROOT")
    return PlatformPlan(
        builder=builder,
        environment=environment,
        labels=labels,
        command=command,
        settings=settings,
        has_gateway=copies,
    )


def _check_known(instruction: Instruction, known: Mapping[str, Sequence[str]], file: str) -> None:
    if instruction.words not in known.get(instruction.keyword, ()):
        what = f"{instruction.keyword} {instruction.words}"
        shown = what if len(what) <= 80 else f"{what[:77]}..."
        raise NeedsContainerError(f"{file}:{instruction.line}: {shown!r} is not what this tool can do itself")


def write_platform(
    plan: PlatformPlan,
    base: str,
    files: Mapping[str, OldFile],
    interpreter: Interpreter,
    folder: Path,
    *,
    environ: Mapping[str, str],
    network: Mapping[str, str],
    on_output: OnOutput,
) -> Change:
    """Write the layers of the platform in `folder`; `files` are the base image's PASSWD and SHADOW, where it has them.

    `base` is the id of the base image. Raises NeedsContainerError where the gateway can't be installed here.
    """
    layers = [("platform: the user modelyard and its folders", _write_user(folder / "user.tar", plan, files))]
    if plan.has_gateway:
        layers += _write_gateway(plan, interpreter, folder, environ, network, on_output)
    return Change(
        layers=layers,
        environment=plan.environment,
        labels=plan.labels_on(base),
        command=plan.command,
        settings=plan.settings,
    )


def _write_gateway(
    plan: PlatformPlan,
    interpreter: Interpreter,
    folder: Path,
    environ: Mapping[str, str],
    network: Mapping[str, str],
    on_output: OnOutput,
) -> list[tuple[str, Layer]]:
    name = f"builders/{plan.builder.name}/requirements.txt"
    source = folder / "gateway-source"
    source.mkdir()
    (source / "requirements.txt").write_bytes(plan.builder.files[name])
    stage = open_stage(folder / "gateway-environments", None, interpreter, environ)
    stage.install_source(
        source, name=GATEWAY, requirements_file=name, arguments={}, network=network, on_output=on_output
    )
    (stage.root / "default").rename(stage.root / GATEWAY)
    found = read_distributions(stage.root / GATEWAY)
    if stray := find_stray(stage.root / GATEWAY, found):
        raise NeedsContainerError(f"no package has {stray} on its list of files")
    shelves = [Shelf(GATEWAY), Shelf(GATEWAY, tuple(found))]
    stage.compile(shelves[1].modules)
    return [(shelf.title, stage.write(folder / f"gateway-{place}.tar", shelf)) for place, shelf in enumerate(shelves)]


def _write_user(path: Path, plan: PlatformPlan, files: Mapping[str, OldFile]) -> Layer:
    """Write what useradd and mkdir would; a base image that has the user 1001 already keeps it."""
    home = plan.app_root
    passwd = files.get(PASSWD, OldFile(content=b"root:x:0:0:root:/root:/bin/sh\n", mode=0o644))
    texts = {}
    if not _has_user(passwd.content):
        texts[PASSWD] = (passwd, f"{_USER}:x:{UID}:{GID}::{home}:/usr/sbin/nologin\n")
        if SHADOW in files:
            texts[SHADOW] = (files[SHADOW], f"{_USER}:!::0:99999:7:::\n")
    folders = {home: UID, "/opt": 0, "/opt/modelyard": 0, "/opt/modelyard/network": 0}
    folders |= dict.fromkeys(_OWN.split(), UID)
    with path.open("wb") as file, new_tar(file) as archive:
        for folder, uid in sorted(folders.items()):
            member = _member(folder.strip("/"), mode=0o775 if uid else 0o755, uid=uid, gid=GID)
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
        for name, (old, line) in sorted(texts.items()):
            content = old.content + (b"" if old.content.endswith(b"\n") or not old.content else b"\n") + line.encode()
            member = _member(name, mode=old.mode, uid=old.uid, gid=old.gid)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return Layer(path, digest_file(path))


def _has_user(passwd: bytes) -> bool:
    rows = [line.split(b":") for line in passwd.splitlines()]
    return any(row[0] == _USER.encode() or row[2:3] == [str(UID).encode()] for row in rows)


def _member(name: str, *, mode: int, uid: int, gid: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid, member.mtime = mode, uid, gid, MTIME
    return member
