"""What each variant installs: where its torch comes from, and what it must never install."""

import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modelyard.runtime.assembling.pythons import TARGET

# The build arguments of a variant that decide what is installed.
ARGUMENTS = ("EXCLUDED_PACKAGES", "TORCH_BACKEND")
TORCH = ("torch", "torchvision", "torchaudio")
_GPU_PACKAGE = re.compile(r"^ \+ ((?:nvidia-|cuda-|cupy-|rocm-)[^=\s]*==\S+)", re.MULTILINE)
_CPU_TORCH = re.compile(rf"^ \+ ((?:{'|'.join(TORCH)})==\S+\+cpu)\b", re.MULTILINE)


def format_overrides(excluded: Sequence[str]) -> str:
    """Write uv overrides that no platform ever installs: this is how uv leaves a package out."""
    return "".join(f"{name}; sys_platform == 'never'\n" for name in excluded)


def choose_torch_backend(names: Mapping[str, object], environ: Mapping[str, str]) -> list[str]:
    """The option for torch's own index: where torch is asked for, and the user's settings hold none of it already."""
    backend = environ.get("TORCH_BACKEND")
    if not backend or "UV_TORCH_BACKEND" in environ or not any(name in names for name in TORCH):
        return []
    wheels = [wheel.name for folder in find_wheelhouses(environ) for wheel in folder.glob("torch-*.whl")]
    held = any(backend == "cpu" or "+cpu" not in wheel for wheel in wheels)
    return [] if held or environ.get("UV_NO_INDEX") else ["--torch-backend", backend]


def find_cpu_wheels(environ: Mapping[str, str]) -> dict[str, str]:
    """The newest `+cpu` version of each torch package that the user's wheelhouses have for the target's Python.

    An index's newer torch would win over these, and bring the CUDA libraries with it.
    """
    newest: dict[str, str] = {}
    for folder in find_wheelhouses(environ) if environ.get("TORCH_BACKEND") == "cpu" else ():
        for wheel in folder.glob("torch*.whl"):
            name, version, *_, tags = wheel.stem.split("-", 2)
            if name in TORCH and version.endswith("+cpu") and _is_for_target(tags, environ):
                newest[name] = max(newest.get(name, "0"), version, key=_order)
    return newest


def find_wheelhouses(environ: Mapping[str, str]) -> Iterator[Path]:
    """The folders of this machine among UV_FIND_LINKS."""
    for link in re.split(r"[,\s]+", environ.get("UV_FIND_LINKS", "")):
        if link.startswith(("/", ".", "file://")):
            yield Path(link.removeprefix("file://"))


def find_gpu_packages(plan: str) -> tuple[str, ...]:
    """The GPU libraries among what uv says it would install."""
    return tuple(_GPU_PACKAGE.findall(plan))


def find_cpu_torch(plan: str) -> tuple[str, ...]:
    """The torch packages for the CPU alone among what uv says it would install."""
    return tuple(_CPU_TORCH.findall(plan))


def _is_for_target(tags: str, environ: Mapping[str, str]) -> bool:
    version, _, name = environ.get(TARGET, "").partition(" ")
    major, minor, *_ = version.split(".") if version else map(str, sys.version_info[:2])
    machine = name.partition("-")[0] or platform.machine()
    return tags.startswith((f"cp{major}{minor}", "py3")) and tags.endswith((machine, "any"))


def _order(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]
