"""Strict validation of files that somebody has written or changed: manifests, and kustomize's overlays."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which

from modelyard.errors import EngineError, InputError
from modelyard.manifests.documents import Manifest, read_documents
from modelyard.manifests.validation import check_all, choose_version

_KUSTOMIZATION = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_PATIENCE = 60.0


def check_files(paths: Sequence[Path], *, version: str | None, environ: Mapping[str, str]) -> int:
    """Validate files, all files of folders, and what kustomize makes of overlays; return how many objects there are."""
    chosen = choose_version(version)
    count = 0
    for path in paths:
        for source, text in _read(path, environ):
            manifests = read_documents(text, source=source)
            check_all(_objects(manifests), version=chosen, source=source)
            count += len(manifests)
    return count


def _objects(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Those that a cluster sees: a kustomization is read by kustomize alone."""
    return [one for one in manifests if not str(one.get("apiVersion")).startswith("kustomize.config.k8s.io/")]


def _read(path: Path, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where each text is from, and the text."""
    if path.is_file():
        return [(str(path), _text(path))]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder", hint="name a manifest, or a folder of some")
    if any((path / name).is_file() for name in _KUSTOMIZATION):
        return [(str(path), _kustomize(path, environ))]
    files = sorted(one for one in path.rglob("*") if one.suffix in (".yaml", ".yml", ".json"))
    if not files:
        raise InputError(f"{path}: holds no .yaml or .json", hint="name a manifest, or a folder of some")
    return [(str(one), _text(one)) for one in files]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None


def _kustomize(folder: Path, environ: Mapping[str, str]) -> str:
    """What kustomize makes of a folder; kubectl has it and needs no cluster for it."""
    kubectl = which("kubectl", path=environ.get("PATH"))
    if kubectl is None:
        raise EngineError(
            f"{folder} is kustomize's, which kubectl has, and kubectl is not on PATH",
            hint="install it: https://kubernetes.io/docs/tasks/tools/",
        )
    done = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, timeout=_PATIENCE, env=environ, check=False
    )
    if done.returncode:
        raise InputError(
            f"{folder}: kustomize refuses it: {done.stderr.strip().removeprefix('error: ')}", hint="correct the overlay"
        )
    return done.stdout
