"""Incremental builds: what the previous image's save-artifacts streams goes to the next assemble."""

from tempfile import TemporaryFile
from typing import IO

from modelyard.engines.docker.builder_image import find_image
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.layer import copy_safely
from modelyard.engines.docker.workshop import Workshop, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.s2i.builder import SCRIPTS_URL
from modelyard.s2i.config import BuildConfig


def restore_artifacts(
    client: Client, workshop: Workshop, config: BuildConfig, destination: str, on_output: OnOutput
) -> None:
    """Unpack the artifacts of the image that has the tag now below `destination`/artifacts; say why not otherwise."""
    previous = find_image(client, config.tag) if config.tag else None
    if previous is None:
        on_output(f"---> artifacts: there is no previous image {config.tag or '(no tag)'}, a clean build")
        return
    script = f"{_scripts_folder(previous['Config'])}/save-artifacts"
    with TemporaryFile() as raw, TemporaryFile() as checked:
        code = _save(client, str(previous["Id"]), script, raw)
        if code:
            on_output(f"---> artifacts: {script} of {config.tag} exited with {code}, a clean build")
            return
        raw.seek(0)
        count = copy_safely(raw, checked, f"{destination}/artifacts")
        checked.seek(0)
        workshop.upload(checked, "/")
        on_output(f"---> artifacts: {count} of {config.tag} are used again")


def _save(client: Client, image: str, script: str, target: IO[bytes]) -> int:
    """Stream a script's standard output into a file, as bytes; return its exit code."""
    with open_workshop(client, image) as previous:
        return previous.stream([script], target)


def _scripts_folder(config: dict[str, object]) -> str:
    """Where the image has its scripts: beside the `run` that it starts, else where its label says."""
    command = config.get("Cmd")
    if isinstance(command, list) and command and str(command[-1]).endswith("/run"):
        return str(command[-1]).removesuffix("/run")
    labels = config.get("Labels")
    url = labels.get(SCRIPTS_URL, "") if isinstance(labels, dict) else ""
    return str(url).removeprefix("image://").rstrip("/") or "/usr/libexec/s2i"
