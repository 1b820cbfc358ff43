"""`s2i build`: source and scripts into a container of the builder image, assemble, commit."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.workshop import Folder, Workshop, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError
from modelyard.images.instructions import format_instructions
from modelyard.machine.failure import explain_build_failure
from modelyard.s2i.artifacts import restore_artifacts
from modelyard.s2i.builder import SCRIPTS_URL, find_uid
from modelyard.s2i.injection import inject
from modelyard.s2i.items import split_items
from modelyard.s2i.metadata import read_metadata
from modelyard.s2i.onbuild import build_onbuild
from modelyard.s2i.prepared import Prepared
from modelyard.s2i.runtime_image import build_runtime_image


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
