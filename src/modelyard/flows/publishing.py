"""Put what a step has made where the project has it, such as models/, each file by a rename."""

import filecmp
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.flows.artifacts import ArtifactStore
from modelyard.flows.definition import Step


def publish(step: Step, outputs: Mapping[str, Mapping[str, Any]], artifacts: ArtifactStore, project: Path) -> list[str]:
    """Publish a step's outputs; return the paths of what was not there already, relative to the project.

    A model's manifest, which names its binary, comes last: a reader sees the old pair or the new one.
    """
    changed = []
    for name, folder in step.publish.items():
        artifact = artifacts.path(outputs[name]["digest"])
        target = project / folder
        if artifact.is_dir():
            files = sorted((path for path in artifact.rglob("*") if path.is_file()), key=_manifests_last)
            pairs = [(path, target / path.relative_to(artifact)) for path in files]
        else:
            pairs = [(artifact, target / outputs[name]["file"])]
        changed += [str(new.relative_to(project)) for old, new in pairs if _put(old, new)]
    return changed


def _manifests_last(path: Path) -> tuple[bool, str]:
    return path.suffix == ".json", str(path)


def _put(source: Path, target: Path) -> bool:
    if target.is_file() and filecmp.cmp(source, target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copy2(source, part)
        part.chmod(part.stat().st_mode | 0o200)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return True
