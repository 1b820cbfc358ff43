"""Builder images with ONBUILD instructions: the engine builds a Dockerfile of few lines, and they do the rest."""

import io
import json
import os
import shutil
from pathlib import Path

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.dockerfile import run_build
from modelyard.engines.docker.upload import write_upload
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError
from modelyard.images.folders import NO_FOLDERS
from modelyard.images.instructions import format_instructions
from modelyard.s2i.prepared import Prepared

# What upstream takes for the application's entry point, in this order.
_ENTRY_POINTS = ("run", "start", "exec", "execute")
# Of .s2i/bin and --scripts-url, these count here as well: in the source's root, which ONBUILD copies to the WORKDIR.
_SCRIPTS = ("assemble", "run")


def build_onbuild(client: Client, prepared: Prepared, on_output: OnOutput) -> str:
    """Build in the source's root with the builder as base image; return the image's id."""
    builder, source = prepared.builder, prepared.fetched.root
    for name in prepared.scripts.uploaded & set(_SCRIPTS):
        shutil.copy(prepared.folder / "upload" / "scripts" / name, source / name)
    entry = guess_entry_point(source)
    lines = [
        f"FROM {builder.id}",
        *format_instructions("ENV", prepared.environment),
        *format_instructions("LABEL", prepared.labels),
    ]
    if (source / "assemble").is_file():
        lines.append("RUN if [ -x assemble ]; then ./assemble; else sh assemble; fi")
    if entry is not None:
        lines.append(f"ENTRYPOINT {json.dumps(['./' + entry])}")
    elif not (builder.config.get("Cmd") or builder.config.get("Entrypoint")):
        raise InputError(
            f"{builder.reference} starts nothing, and the source has no executable {', '.join(_ENTRY_POINTS)}",
            hint="add an executable `run` to the root of the source, or .s2i/bin/run",
        )
    dockerfile = source / ".modelyard.Dockerfile"
    dockerfile.write_text("\n".join(lines) + "\n", encoding="utf-8")
    archive = io.BytesIO()
    write_upload(archive, {"/": source}, uid=0, folders=NO_FOLDERS)
    return run_build(
        client,
        io.BytesIO(archive.getvalue()),
        action=f"build on {builder.reference}",
        on_output=on_output,
        dockerfile=dockerfile.name,
    )


def guess_entry_point(source: Path) -> str | None:
    """The executable in the source's root that is to be started, as upstream guesses it."""
    for name in _ENTRY_POINTS:
        path = source / name
        if path.is_file() and os.access(path, os.X_OK):
            return name
    return None
