"""Let uv work out what requirements come to, for a Python and a platform that need not be this machine's."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelyard.errors import InputError
from modelyard.network import mask_credentials
from modelyard.requirements.parse import parse_requirements
from modelyard.runtime.assembling.installation import ask_uv, explain_failure, find_gpu_hint, find_hint
from modelyard.runtime.assembling.variants import (
    choose_torch_backend,
    find_cpu_wheels,
    find_gpu_packages,
    format_overrides,
)
from modelyard.runtime.scratch import scratch_folder

_OPTIONS = ("--generate-hashes", "--no-header", "--no-annotate", "--no-progress", "--color=never")


def pin_requirements(
    lines: Sequence[str],
    *,
    python: str,
    platform: str,
    file: str,
    uv: str,
    environ: Mapping[str, str],
    before: str = "",
    asked: str = "",
) -> str:
    """The pins that `lines` come to, with hashes, by the rules that builds install by; no index is named in them.

    `uv` is its path, `environ` its whole environment: index, proxy and certificate settings, EXCLUDED_PACKAGES and
    TORCH_BACKEND. What `before` pins stays where it still fits. `asked` says what asks for `python`, where something
    does. Raises InputError naming the lines of `file` where they can't be installed.
    """
    names = {line.name for line in parse_requirements("\n".join(lines), source=file)}
    with scratch_folder() as root:
        source, target = root / "requirements.in", root / "requirements.lock"
        source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        target.write_text(before, encoding="utf-8")
        overrides = root / "overrides.txt"
        overrides.write_text(format_overrides(environ.get("EXCLUDED_PACKAGES", "").split()), encoding="utf-8")
        constraints = root / "constraints.txt"
        wheels = find_cpu_wheels(environ)
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in wheels.items()), encoding="utf-8")
        command = [uv, "pip", "compile", *_OPTIONS, "--output-file", str(target), str(source)]
        command += ["--python", sys.executable, "--python-version", python, "--python-platform", platform]
        command += ["--override", str(overrides), *choose_torch_backend(dict.fromkeys(names), environ)]
        command += ["--no-index"] if environ.get("UV_NO_INDEX") else []
        failed = _run([*command, "--constraint", str(constraints)], environ) if wheels else "no wheels to prefer"
        failed = failed and _run(command, environ)
        if failed:
            output = mask_credentials(failed).splitlines()
            said = "\n".join(f"  {line}" for line in output[-15:])
            raise InputError(
                f"{explain_failure(output, source, file=file)}\n{said}", hint=find_hint(output, asked=asked)
            )
        pins = target.read_text(encoding="utf-8")
        if environ.get("TORCH_BACKEND") == "cpu":
            _refuse_gpu_packages(pins, source, file)
    return pins


def _refuse_gpu_packages(pins: str, source: Path, file: str) -> None:
    packages = find_gpu_packages("".join(f" + {line}\n" for line in pins.splitlines()))
    if packages:
        raise InputError(
            f"{file}: variant cpu, but {packages[0]} and {len(packages) - 1} more GPU packages would be locked",
            hint=f"{find_gpu_hint(packages, source, file=file)}, or lock with --variant cuda",
        )


def _run(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """What uv says where it fails; nothing where it does not."""
    code, said = ask_uv(command, environ)
    return said or f"exit code {code}" if code else ""
