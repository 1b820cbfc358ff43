"""Incremental builds: what the previous image's save-artifacts streams goes to the next assemble."""

from collections.abc import Mapping
from tempfile import TemporaryFile
from typing import IO, Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.pulling import find_image
from modelyard.engines.docker.workshop import Workshop, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.images.layer import copy_safely
from modelyard.s2i.builder import find_uid
from modelyard.s2i.prepared import Prepared
from modelyard.s2i.users import AllowedUids


def restore_artifacts(client: Client, workshop: Workshop, prepared: Prepared, uid: int, on_output: OnOutput) -> None:
    """Unpack the artifacts of the image that has the tag now below <destination>/artifacts; say why not otherwise."""
    config = prepared.config
    previous = find_image(client, config.tag) if config.tag else None
    if previous is None:
        on_output(f"---> artifacts: there is no previous image {config.tag or '(no tag)'}, a clean build")
        return
    script = prepared.scripts.paths.get("save-artifacts", "")
    if not script:
        on_output("---> artifacts: there is no script save-artifacts, a clean build")
        return
    with TemporaryFile() as raw, TemporaryFile() as checked:
        code = _save(client, previous, prepared, script, raw)
        if code:
            on_output(f"---> artifacts: {script} of {config.tag} exited with {code}, a clean build")
            return
        if not raw.tell():  # as in the skeleton of upstream's `s2i create`, whose author has not got to it
            on_output(f"---> artifacts: {script} of {config.tag} saved nothing, a clean build")
            return
        raw.seek(0)
        count = copy_safely(raw, checked, f"{prepared.destination}/artifacts", folders=workshop.folders, uid=uid)
        checked.seek(0)
        workshop.upload(checked, "/")
        on_output(f"---> artifacts: {count} of {config.tag} are used again")


def _save(client: Client, previous: Mapping[str, Any], prepared: Prepared, script: str, target: IO[bytes]) -> int:
    """Stream the script's standard output into a file, as bytes; return its exit code.

    It runs as who assembles if the flag says so, else as the previous image's user, as upstream does.
    """
    user = prepared.config.assemble_user or previous["Config"].get("User") or "0"
    AllowedUids.parse(prepared.config.allowed_uids).check(user, f"the user of {prepared.config.tag}")
    idle = user if prepared.config.allowed_uids else "0"
    with open_workshop(client, str(previous["Id"]), user=idle) as workshop:
        if "save-artifacts" in prepared.scripts.uploaded:
            scripts = {f"{prepared.destination}/scripts": prepared.folder / "upload" / "scripts"}
            workshop.bring(scripts, uid=find_uid(workshop, user))
        return workshop.stream([script], target, user=user)
