"""`--runtime-image`: what assemble made in the builder is copied to another, smaller image, which is the result."""

import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from tempfile import TemporaryFile

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.workshop import Workshop, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError
from modelyard.images.instructions import format_instructions
from modelyard.images.layer import copy_safely
from modelyard.machine.failure import explain_build_failure
from modelyard.s2i.builder import BuilderImage
from modelyard.s2i.items import split_items
from modelyard.s2i.metadata import read_metadata
from modelyard.s2i.prepared import Prepared

MAPPING = "io.openshift.s2i.assemble-input-files"
_OLD_MAPPING = "io.openshift.s2i.runtime-artifacts"


def build_runtime_image(
    client: Client, prepared: Prepared, runtime: BuilderImage, assembled: Workshop, on_output: OnOutput
) -> str:
    """Copy the artifacts, run assemble-runtime where there is one, commit; return the image's id."""
    config = prepared.config
    named = runtime.labels.get(MAPPING) or prepared.builder.labels.get(_OLD_MAPPING, "").replace(",", ";")
    artifacts = parse_artifacts(config.runtime_artifacts or [named])
    idle = prepared.runtime_user if config.allowed_uids else "0"
    with open_workshop(client, runtime.id, user=idle) as workshop:
        for source, target in artifacts:
            _copy(assembled, source, workshop, target)
        run = _bring_scripts(prepared, runtime, assembled, workshop, on_output)
        entrypoint = runtime.config.get("Entrypoint")
        return workshop.commit(
            title=f"s2i: {config.source} on {runtime.reference}",
            changes=[
                *format_instructions("ENV", prepared.environment),
                *format_instructions("LABEL", {**prepared.labels, **read_metadata(workshop)}),
                *([f"ENTRYPOINT {json.dumps(entrypoint)}"] if entrypoint else []),
                f"CMD {json.dumps([run])}",
                f"USER {runtime.user or '0'}",
            ],
        )


def parse_artifacts(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Read `SOURCE[:TARGET]` items, several in one with `;` between them.

    TARGET is relative to the runtime image's working directory, as upstream has it.

    >>> parse_artifacts(["/action:app", "/opt/x"])
    [('/action', 'app'), ('/opt/x', '')]
    """
    artifacts = []
    for text in split_items(texts):
        source, _, target = text.partition(":")
        if not source.startswith("/") or ".." in PurePosixPath(target).parts:
            raise InputError(f"--runtime-artifact {text!r} is not SOURCE[:TARGET]", hint="SOURCE is an absolute path")
        artifacts.append((source, target))
    if not artifacts:
        raise InputError(
            "--runtime-image needs to know what to copy there", hint="name it: --runtime-artifact /action:/action"
        )
    return artifacts


def _copy(origin: Workshop, source: str, workshop: Workshop, target: str) -> None:
    place = target if target.startswith("/") else f"{_workdir(workshop)}/{target}".rstrip("/")
    with TemporaryFile() as file:
        with origin.download(source) as archive:
            copy_safely(archive, file, place or "/", folders=workshop.folders)
        file.seek(0)
        workshop.upload(file, "/")


def _workdir(workshop: Workshop) -> str:
    with workshop.client.talking("look at the container"):
        return str(workshop.client.api.inspect_container(workshop.id)["Config"].get("WorkingDir") or "/").rstrip("/")


def _bring_scripts(
    prepared: Prepared, runtime: BuilderImage, assembled: Workshop, workshop: Workshop, on_output: OnOutput
) -> str:
    """Run assemble-runtime, brought from outside or the runtime image's own; return the path of `run` there."""
    url = runtime.scripts_url
    own = url.removeprefix("image://").rstrip("/") if url.startswith("image://") else ""
    scripts = prepared.scripts
    for name in ("assemble-runtime", "run"):
        if name in scripts.uploaded:
            _copy(assembled, scripts[name], workshop, f"{prepared.destination}/scripts")
    run = scripts["run"] if "run" in scripts.uploaded or not own else f"{own}/run"
    script = scripts["assemble-runtime"] if "assemble-runtime" in scripts.uploaded else f"{own}/assemble-runtime"
    if "assemble-runtime" not in scripts.uploaded and not own:
        return run
    code, last = workshop.execute(
        ["sh", "-c", 'if [ -x "$0" ]; then exec "$0"; fi', script],
        user=prepared.runtime_user,
        environment=prepared.environment,
        on_output=on_output,
    )
    if code:
        raise explain_build_failure(f"{runtime.reference} (assemble-runtime)", code, last)
    return run
