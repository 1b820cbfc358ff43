"""`--as-dockerfile`: the same build, for whoever builds images of Dockerfiles."""

import json
import shlex
import shutil
from pathlib import Path

from modelyard.errors import InputError
from modelyard.images.instructions import format_instructions
from modelyard.s2i.builder import DESTINATION, SCRIPTS_URL
from modelyard.s2i.prepared import Prepared
from modelyard.s2i.scripts import REQUIRED

_PARTS = {"src", "scripts", "injections"}
_ARTIFACTS = "/tmp/artifacts.tar"


def write_dockerfile(prepared: Prepared, target: Path) -> Path:
    """Write a file of this name, or Dockerfile in this folder, with upload/ beside it; return its path."""
    path = target / "Dockerfile" if target.is_dir() else target
    _check(prepared, path.parent / "upload")
    path.parent.mkdir(parents=True, exist_ok=True)
    upload = path.parent / "upload"
    shutil.rmtree(upload, ignore_errors=True)
    shutil.copytree(prepared.folder / "upload", upload, symlinks=True)
    for number, (folder, _) in enumerate(prepared.injections.folders):
        shutil.copytree(folder, upload / "injections" / str(number), symlinks=True)
    path.write_text("\n".join(format_dockerfile(prepared)) + "\n", encoding="utf-8")
    return path


def format_dockerfile(prepared: Prepared) -> list[str]:
    """The lines of the Dockerfile. Its steps are those of a build: upload, hand over, assemble, run."""
    place, owner = prepared.destination, _owner(prepared)
    is_incremental = prepared.config.incremental
    injections = [(f"upload/injections/{n}", target) for n, (_, target) in enumerate(prepared.injections.folders)]
    return [
        *(_format_cached(prepared) if is_incremental else []),
        f"FROM {prepared.builder.reference}",
        *format_instructions("LABEL", {**prepared.labels, **_told_labels(prepared)}),
        *format_instructions("ENV", prepared.environment),
        "USER root",
        *([f"COPY --from=cached --chown={owner} {_ARTIFACTS} {_ARTIFACTS}"] if is_incremental else []),
        f"COPY upload/src {place}/src",
        *([f"COPY upload/scripts {place}/scripts"] if prepared.scripts.uploaded else []),
        f"RUN chown -R {owner} {place}/src",
        *(f"COPY --chown={owner} {json.dumps([f'{source}/', f'{target}/'])}" for source, target in injections),
        f"USER {prepared.user}",
        *([_format_extraction(f"{place}/artifacts")] if is_incremental else []),
        f"RUN {json.dumps([prepared.scripts['assemble']])}",
        *_format_removal(prepared),
        f"USER {prepared.builder.user or '0'}",
        f"CMD {json.dumps([prepared.scripts['run']])}",
    ]


def _check(prepared: Prepared, upload: Path) -> None:
    """Raise InputError for what no Dockerfile can do, and for an upload/ that is somebody else's."""
    config = prepared.config
    if config.runtime_image:
        raise InputError("--as-dockerfile and --runtime-image exclude each other", hint="leave one of them out")
    if config.incremental and not config.tag:
        raise InputError("--incremental needs the image that has the artifacts", hint="name it: the third argument")
    if not prepared.scripts.paths.keys() >= REQUIRED:
        raise InputError(
            f"{prepared.builder.reference} has ONBUILD instructions and no scripts, so there is nothing to write",
            hint=f"a Dockerfile in the source with the line FROM {prepared.builder.reference} does the same",
        )
    others = {path.name for path in upload.iterdir()} - _PARTS if upload.is_dir() else set()
    if others:
        raise InputError(
            f"{upload}: has {', '.join(sorted(others)[:3])}, which s2i did not write",
            hint="it would be replaced: write the Dockerfile into a folder of its own",
        )


def _owner(prepared: Prepared) -> str:
    return prepared.user if ":" in prepared.user else f"{prepared.user}:0"


def _told_labels(prepared: Prepared) -> dict[str, str]:
    """What the flags said of scripts and destination, as upstream writes it into its Dockerfiles."""
    told = {SCRIPTS_URL: prepared.config.scripts_url, DESTINATION: prepared.config.destination}
    return {name: value for name, value in told.items() if value}


def _format_cached(prepared: Prepared) -> list[str]:
    """A stage of the previous image in which save-artifacts runs; without one, or if it fails, there is nothing."""
    script = prepared.scripts.paths.get("save-artifacts", "")
    is_uploaded = "save-artifacts" in prepared.scripts.uploaded
    run = f"if [ -x {shlex.quote(script)} ] && {shlex.quote(script)} > {_ARTIFACTS}; then :; else : > {_ARTIFACTS}; fi"
    return [
        f"FROM {prepared.config.tag} AS cached",
        *(["USER root", f"COPY upload/scripts/save-artifacts {script}"] if is_uploaded else []),
        f"USER {prepared.user}",
        f"RUN {run}",
    ]


def _format_extraction(folder: str) -> str:
    place = shlex.quote(folder)
    extract = f"mkdir -p {place} && tar -xf {_ARTIFACTS} -C {place}"
    return f"RUN if [ -s {_ARTIFACTS} ]; then {extract}; fi && rm {_ARTIFACTS}"


def _format_removal(prepared: Prepared) -> list[str]:
    """Remove what was injected. Unlike a build's, the layers below still have it."""
    files = [
        f"{target}/{path.relative_to(folder).as_posix()}"
        for folder, target in prepared.injections.folders
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    ]
    if not files:
        return []
    return [
        "# The layers above this line hold the injected files: squash them before you give the image away.",
        "USER root",
        f"RUN rm -f {' '.join(map(shlex.quote, files))}",
    ]
