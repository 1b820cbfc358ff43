"""What a builder image's `assemble` script does: setup.sh, requirements, source. Standard library and uv only."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.runtime.artifacts import restore_cache
from modelyard.runtime.assembling.entries import check_source
from modelyard.runtime.assembling.installation import install_requirements, make_environment
from modelyard.runtime.assembling.pythons import PYTHON_VERSION_FILE, describe_asked, find_python, read_python_version
from modelyard.runtime.errors import InputError, ModelyardError
from modelyard.runtime.groups import find_environments, name_requirements

STAGES = ("setup", "requirements", "source")


@dataclass(frozen=True, kw_only=True)
class Roots:
    """Where assemble reads and writes, and with what; from the environment, defaults are those of a container."""

    source: Path
    application: Path
    environments: Path
    stages: tuple[str, ...]
    python: str
    uv: str
    environ: Mapping[str, str]

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Roots":
        """Read them; raise InputError for a stage there is not."""
        stages = tuple(environ.get("MODELYARD_STAGES", " ".join(STAGES)).split())
        unknown = [stage for stage in stages if stage not in STAGES]
        if unknown:
            raise InputError(f"MODELYARD_STAGES names {unknown[0]!r}", hint=f"stages: {' '.join(STAGES)}")
        return cls(
            source=Path(environ.get("S2I_SOURCE", "/tmp/src")),
            application=Path(environ["APP_ROOT"]),
            environments=Path(environ.get("MODELYARD_ENVIRONMENTS", "/opt/modelyard/environments")),
            stages=stages,
            python=environ.get("MODELYARD_PYTHON", "python3"),
            uv=environ.get("UV", "uv"),
            environ=environ,
        )


def assemble(roots: Roots) -> None:
    """Do the stages that are asked for, in order: native dependencies, then requirements, then the source."""
    if "setup" in roots.stages:
        run_setup(roots)
    if "requirements" in roots.stages:
        if restore_cache(roots.source, roots.environ):
            say("requirements", "use what the previous image saved")
        make_environments(roots)
    if "source" in roots.stages:
        copy_source(roots)
        check_source(roots.application, roots.environments, roots.environ)


def make_environments(roots: Roots) -> None:
    """Make the environments that the source describes, or those of them that MODELYARD_GROUPS names."""
    wanted = roots.environ.get("MODELYARD_GROUPS", "").split()
    for name, folder in find_environments(roots.source):
        if wanted and name not in wanted:
            continue
        file = name_requirements(name, roots.environ.get("MODELYARD_REQUIREMENTS_FILE") or "requirements.txt")
        say("requirements", f"install {file}")
        version = read_python_version(folder / PYTHON_VERSION_FILE)
        asked = describe_asked(folder, environment=name, requirements_file=file)
        python = find_python(version, default=roots.python, uv=roots.uv, environ=roots.environ, asked=asked)
        environ = {**roots.environ, "MODELYARD_REQUIREMENTS_FILE": file}
        environment = make_environment(roots.environments / name, python=python, uv=roots.uv, environ=environ)
        install_requirements(environment, folder / "requirements.txt", uv=roots.uv, environ=environ, asked=asked)


def run_setup(roots: Roots) -> None:
    """Run the source's setup.sh with bash, in the source; raise ModelyardError with its exit code where it fails."""
    script = roots.source / "setup.sh"
    if not script.is_file():
        return
    say("setup", "run setup.sh")
    environ = {name: value for name, value in roots.environ.items() if name != "PYTHONPATH"}
    code = subprocess.run(["bash", str(script)], cwd=roots.source, env=environ, stdin=subprocess.DEVNULL).returncode
    if code:
        raise ModelyardError(f"setup.sh failed with exit code {code}", hint="its last lines stand above")


def copy_source(roots: Roots) -> None:
    """Copy the application source; its group may do what its owner may, so that any uid of group 0 can run it."""
    say("source", "copy the application source and check what it imports")
    if not roots.source.is_dir():
        raise InputError(f"{roots.source}: no application source here", hint="S2I_SOURCE names its folder")
    shutil.copytree(roots.source, roots.application, symlinks=True, dirs_exist_ok=True)
    for path in (roots.application, *roots.application.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o700) >> 3)


def say(stage: str, text: str) -> None:
    """Print progress as engines expect it."""
    print(f"---> {stage}: {text}", flush=True)


def main() -> int:
    """Assemble as the environment says; print what is wrong, without a traceback."""
    try:
        assemble(Roots.from_environ(os.environ))
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0
