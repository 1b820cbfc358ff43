"""`s2i build`: source and scripts into a container of the builder image, assemble, commit."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.workshop import Folder, Workshop, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError
from modelyard.images.instructions import format_instructions
from modelyard.machine.failure import explain_build_failure
from modelyard.s2i.artifacts import restore_artifacts
from modelyard.s2i.builder import (
    ASSEMBLE_RUNTIME_USER,
    ASSEMBLE_USER,
    SCRIPTS_URL,
    BuilderImage,
    find_uid,
    open_builder,
)
from modelyard.s2i.config import BuildConfig
from modelyard.s2i.environment import read_variables
from modelyard.s2i.injection import Injections, inject
from modelyard.s2i.items import split_items
from modelyard.s2i.labels import result_labels
from modelyard.s2i.metadata import read_metadata
from modelyard.s2i.onbuild import build_onbuild
from modelyard.s2i.runtime_image import build_runtime_image
from modelyard.s2i.scripts import REQUIRED, Scripts, find_scripts
from modelyard.s2i.source import Fetched, fetch_source
from modelyard.s2i.users import AllowedUids, find_users


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A build that is ready to assemble: what is fetched, which scripts, which variables and labels."""

    config: BuildConfig
    builder: BuilderImage
    folder: Path
    fetched: Fetched
    scripts: Scripts
    destination: str
    environment: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    injections: Injections = field(default_factory=Injections)
    runtime: BuilderImage | None = None

    @property
    def user(self) -> str:
        """Who assembles: the flag, the builder's label, the builder's own user."""
        return self.config.assemble_user or self.builder.labels.get(ASSEMBLE_USER, "") or self.builder.user or "0"

    @property
    def runtime_user(self) -> str:
        """Who runs assemble-runtime: the flag, the runtime image's label, its own user."""
        if self.runtime is None:
            return ""
        label = self.runtime.labels.get(ASSEMBLE_RUNTIME_USER, "")
        return self.config.assemble_runtime_user or label or self.runtime.user or "0"

    @property
    def idle_user(self) -> str:
        """Who waits in the container, and tidies up there: root, unless only some uids may run what images hold."""
        return self.user if self.config.allowed_uids else "0"


def build(client: Client, prepared: Prepared, profile: ContainerProfile, on_output: OnOutput) -> str:
    """Build and tag; return the image's id."""
    config = prepared.config
    if prepared.builder.onbuild:
        image = build_onbuild(client, prepared, on_output)
    elif prepared.runtime is not None:
        with assembled(client, prepared, profile, on_output) as workshop:
            image = build_runtime_image(client, prepared, prepared.runtime, workshop, on_output)
    else:
        with assembled(client, prepared, profile, on_output) as workshop:
            labels = {**prepared.labels, **read_metadata(workshop)}
            changes = _changes(prepared, prepared.builder.config, labels)
            image = workshop.commit(title=f"s2i: {config.source}", changes=changes)
    if config.tag:
        name, _, version = config.tag.rpartition(":")
        with client.talking(f"tag {config.tag}"):
            client.api.tag(image, name, version)
    return image


def prepare(client: Client, config: BuildConfig, folder: Path, on_output: OnOutput, *, directory: Path) -> Prepared:
    """Get builder image, source and scripts together; raise InputError for what does not fit.

    `folder` is for temporary files, `directory` what paths are relative to.
    """
    if config.incremental and config.runtime_image:
        raise InputError("--incremental and --runtime-image exclude each other", hint="leave one of them out")
    builder = open_builder(client, config.builder_image, config.pull_policy, on_output)
    runtime = (
        open_builder(client, config.runtime_image, config.pull_policy, on_output) if config.runtime_image else None
    )
    fetched = fetch_source(config, folder, directory=directory)
    destination = config.destination or builder.destination
    scripts = find_scripts(
        folder / "upload" / "scripts",
        url=config.scripts_url,
        source=fetched.root,
        source_name=fetched.name,
        image_url=builder.scripts_url,
        builder=builder.reference,
        destination=destination,
        directory=directory,
    )
    if builder.onbuild and config.block_onbuild:
        raise InputError(f"{builder.reference} has ONBUILD instructions, which --block-onbuild forbids")
    if not builder.onbuild:
        check_scripts(builder, scripts)
    written = fetched.root / ".s2i" / "environment"
    own = read_variables(written, name=f"{fetched.name}/.s2i/environment") if written.is_file() else {}
    injections = Injections.parse(
        config.injections, directory=directory, workdir=builder.config.get("WorkingDir") or "/"
    )
    prepared = Prepared(
        config=config,
        injections=injections,
        builder=builder,
        folder=folder,
        fetched=fetched,
        scripts=scripts,
        destination=destination,
        environment={**own, **config.environment},
        labels=result_labels(config, fetched, builder),
        runtime=runtime,
    )
    check_users(prepared)
    return prepared


def check_users(prepared: Prepared) -> None:
    """Raise InputError where --allowed-uids does not allow who would run something in this build."""
    allowed = AllowedUids.parse(prepared.config.allowed_uids)
    builder, runtime = prepared.builder, prepared.runtime
    if builder.onbuild:
        allowed.check(builder.user, f"the user of {builder.reference}")
        for user in find_users(builder.onbuild):
            allowed.check(user, f"the user that ONBUILD instructions of {builder.reference} change to")
    else:
        allowed.check(prepared.user, f"the user that {builder.reference} assembles with")
    if runtime is not None:
        allowed.check(prepared.runtime_user, f"the user of assemble-runtime in {runtime.reference}")


def check_scripts(builder: BuilderImage, scripts: Scripts) -> None:
    """Raise InputError where a script that every build needs is nowhere."""
    missing = sorted(REQUIRED - scripts.paths.keys())
    if missing and not builder.scripts_url:
        raise InputError(
            f"{builder.reference}: no label io.openshift.s2i.scripts-url, so it is no builder image",
            hint="name a builder image, or say where the scripts are: --scripts-url image:///usr/libexec/s2i",
        )
    if missing:
        raise InputError(
            f"there is no {' and no '.join(missing)}, neither in .s2i/bin nor at {builder.scripts_url}, "
            f"which is the label {SCRIPTS_URL} of {builder.reference}",
            hint="write them into .s2i/bin, or say where they are: --scripts-url",
        )


def check_image_scripts(workshop: Workshop, prepared: Prepared) -> None:
    """Raise InputError where a flag or label names a folder for scripts that the image has not."""
    folder = PurePosixPath(prepared.scripts["assemble"]).parent
    if "assemble" not in prepared.scripts.uploaded and workshop.find_folder(folder) is None:
        said_by = "--scripts-url" if prepared.config.scripts_url else f"its label {SCRIPTS_URL}"
        raise InputError(
            f"{prepared.builder.reference} has no folder {folder}, where {said_by} says that its scripts are",
            hint="correct the path, such as image:///usr/libexec/s2i",
        )


@contextmanager
def assembled(client: Client, prepared: Prepared, profile: ContainerProfile, on_output: OnOutput) -> Iterator[Workshop]:
    """A container of the builder in which assemble has run; raise BuildError with its exit code where it failed."""
    config = prepared.config
    options: dict[str, Any] = {"cap_drop": list(config.cap_drop)} if config.cap_drop else {}
    if config.add_hosts:
        options["extra_hosts"] = list(config.add_hosts)
    with open_workshop(
        client,
        prepared.builder.id,
        folders=[*profile.folders, *map(_parse_volume, split_items(config.volumes))],
        network=config.network or profile.network,
        user=prepared.idle_user,
        **options,
    ) as workshop:
        check_image_scripts(workshop, prepared)
        uid = find_uid(workshop, prepared.user)
        upload(workshop, prepared, uid)
        if config.incremental:
            restore_artifacts(client, workshop, prepared, uid, on_output)
        with inject(workshop, prepared.injections, uid, prepared.idle_user, on_output):
            code, last = workshop.execute(
                [prepared.scripts["assemble"]],
                user=prepared.user,
                environment={**profile.variables, **prepared.environment},
                on_output=on_output,
            )
        if code:
            raise explain_build_failure(config.tag or config.source, code, last)
        yield workshop


def upload(workshop: Workshop, prepared: Prepared, uid: int) -> None:
    """Bring source and scripts into the container, below the destination, owned by who assembles."""
    trees = {f"{prepared.destination}/{name}": prepared.folder / "upload" / name for name in ("src", "scripts")}
    workshop.bring(trees, uid=uid)


def _changes(prepared: Prepared, base: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    entrypoint = base.get("Entrypoint")
    return [
        *format_instructions("ENV", prepared.environment),
        *format_instructions("LABEL", labels),
        *([f"ENTRYPOINT {json.dumps(entrypoint)}"] if entrypoint else []),
        f"CMD {json.dumps([prepared.scripts['run']])}",
        f"USER {base.get('User') or '0'}",
    ]


def _parse_volume(text: str) -> Folder:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not target or mode not in ("", "ro", "rw", "z", "Z"):
        raise InputError(f"--volume {text!r} is not FOLDER:TARGET[:ro]", hint="for example -v /var/cache/pip:/cache:ro")
    return Folder(source=source, target=target, read_only=mode == "ro")
