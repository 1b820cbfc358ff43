"""`--as-dockerfile`: the same build, for whoever builds images of Dockerfiles."""

import json
import shutil
from pathlib import Path

from modelyard.engines.docker.instructions import format_instructions
from modelyard.errors import InputError
from modelyard.s2i.build import Prepared


def write_dockerfile(prepared: Prepared, target: Path) -> Path:
    """Write the Dockerfile, or one of that name below a folder, with upload/ beside it; return its path."""
    path = target / "Dockerfile" if target.is_dir() or (not target.suffix and target.name != "Dockerfile") else target
    if prepared.config.runtime_image:
        raise InputError("--as-dockerfile and --runtime-image exclude each other", hint="leave one of them out")
    path.parent.mkdir(parents=True, exist_ok=True)
    upload = path.parent / "upload"
    shutil.rmtree(upload, ignore_errors=True)
    shutil.copytree(prepared.folder / "upload", upload, symlinks=True)
    path.write_text("\n".join(format_dockerfile(prepared)) + "\n", encoding="utf-8")
    return path


def format_dockerfile(prepared: Prepared) -> list[str]:
    """The lines of the Dockerfile. Its steps are those of a build: upload, hand over, assemble, run."""
    user = prepared.user
    place = prepared.destination
    return [
        f"FROM {prepared.builder.reference}",
        *format_instructions("LABEL", prepared.labels),
        *format_instructions("ENV", prepared.environment),
        "USER root",
        f"COPY upload/src {place}/src",
        *([f"COPY upload/scripts {place}/scripts"] if prepared.scripts.uploaded else []),
        f"RUN chown -R {user if ':' in user else user + ':0'} {place}/src",
        f"USER {user}",
        f"RUN {json.dumps([prepared.scripts['assemble']])}",
        f"USER {prepared.builder.user or '0'}",
        f"CMD {json.dumps([prepared.scripts['run']])}",
    ]
