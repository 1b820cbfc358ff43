"""Environments of the embedded engine: one a key, shared by every image with the same, made under a lock."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from modelyard.context.build_context import BuildContext, ContextEnvironment, digest_parts
from modelyard.context.lock import Target
from modelyard.context.requirements import requirement_lines
from modelyard.engines.local.setup import find_setup, name_setup, run_setup
from modelyard.engines.protocols import OnOutput
from modelyard.errors import EngineError
from modelyard.machine.failure import explain_build_failure
from modelyard.machine.home import Home, measure_tree, read_record, remove_tree, write_record
from modelyard.machine.lib import RECIPE, RUNTIME, digest_runtime, install_runtime
from modelyard.machine.process import inherit, run_command
from modelyard.machine.uv import find_uv
from modelyard.network import find_deciding_settings, read_network_profile
from modelyard.runtime.application import DEFAULT_ENVIRONMENT
from modelyard.runtime.assembling.pythons import find_python
from modelyard.runtime.assembling.variants import ARGUMENTS

MARKER = "environment.json"
_NEEDS_ROOT = re.compile(r"^\s*(sudo|apt|apt-get|yum|dnf|microdnf|apk|zypper|pacman)\b", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class EnvironmentPlan:
    """An environment that an image needs: `source` holds its requirements.txt and perhaps .python-version."""

    name: str
    owner: str
    """What it is made for, as errors name it."""
    key: str
    source: Path
    command: tuple[str, ...]
    """What makes it: the builder's assemble script."""
    arguments: Mapping[str, str]
    requirements: tuple[str, ...]
    requirements_file: str
    python: str
    """What describes the interpreter that it is made of."""
    setup: Path | None = None
    """The setup.sh to run before."""
    setup_name: str = ""
    """What that is called in the workspace."""


def plan_environments(context: BuildContext, environ: Mapping[str, str]) -> tuple[EnvironmentPlan, ...]:
    """The environments of a build context: its own, and the builder's `gateway` where it has requirements."""
    script = context.scripts / "assemble"
    recipe = [script.read_bytes(), *((RUNTIME / name).read_bytes() for name in RECIPE)]
    arguments = {name: context.arguments.get(name, "") for name in ARGUMENTS}
    settings = find_deciding_settings(environ)
    setup = find_setup(context)
    # What was made with it and what without are never taken for one another.
    did = [] if setup is None else ["setup.sh ran" if context.runs_setup else "setup.sh was left out"]

    def plan(environment: ContextEnvironment, owner: str, did: Sequence[str]) -> EnvironmentPlan:
        python = describe_python(environ) if environment.python is None else find_own_python(environment, environ)
        parts = [*recipe, *map(str.encode, [python, *arguments.values(), environment.digest, *did, *settings])]
        runs_setup = setup is not None and context.runs_setup and environment.name == DEFAULT_ENVIRONMENT
        return EnvironmentPlan(
            name=environment.name,
            owner=owner,
            key=digest_parts(parts)[:32],
            source=environment.folder,
            command=("bash", str(script)),
            arguments=arguments,
            requirements=environment.requirements,
            requirements_file=environment.requirements_file,
            python=python,
            setup=setup if runs_setup else None,
            setup_name=name_setup(context),
        )

    plans = [plan(environment, context.name, did) for environment in context.environments]
    gateway = context.about.builder / "requirements.txt"
    if gateway.is_file():
        owner = f"builders/{context.about.builder.name}"
        lines = tuple(text for _, text in requirement_lines(gateway))
        server = ContextEnvironment(
            name="gateway",
            folder=context.about.builder,
            python=None,
            requirements=lines,
            requirements_file=f"{owner}/requirements.txt",
            digest=digest_parts(map(str.encode, lines)),
        )
        plans.append(plan(server, owner, []))
    return tuple(plans)


def plan_requirements(requirements: Path, source: Path, environ: Mapping[str, str]) -> EnvironmentPlan:
    """An environment of a requirements file and nothing else, for a script that is no model's.

    `source` is an empty folder, which becomes the source that it is installed from.
    """
    shutil.copyfile(requirements, source / "requirements.txt")
    lines = tuple(text for _, text in requirement_lines(requirements))
    python = describe_python(environ)
    recipe = [(RUNTIME / name).read_bytes() for name in RECIPE]
    return EnvironmentPlan(
        name=requirements.name,
        owner=requirements.name,
        key=digest_parts([*recipe, *map(str.encode, [python, *lines, *find_deciding_settings(environ)])])[:32],
        source=source,
        command=(sys.executable, "-m", "modelyard.runtime.assembling"),
        arguments={},
        requirements=lines,
        requirements_file=str(requirements),
        python=python,
    )


def describe_python(environ: Mapping[str, str]) -> str:
    """Name the interpreter that environments are made of: two that differ here do not share one."""
    chosen = environ.get("MODELYARD_PYTHON")
    if not chosen or Path(chosen) == Path(sys.executable):
        return f"{sys.version} {sys.platform} {platform.machine()} {sys.base_prefix}"
    try:
        return _describe_interpreter(chosen)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineError(
            f"MODELYARD_PYTHON={chosen} does not run: {error}", hint="name a Python interpreter"
        ) from None


def describe_target(environ: Mapping[str, str]) -> Target:
    """The Python and the platform of environments that ask for no Python, as uv calls them."""
    python = ".".join(describe_python(environ).split()[0].split(".")[:2])
    system = "apple-darwin" if sys.platform == "darwin" else "unknown-linux-gnu"
    machine = platform.machine().replace("arm64", "aarch64")
    return Target(python=python, platform=f"{machine}-{system}")


def find_own_python(environment: ContextEnvironment, environ: Mapping[str, str]) -> str:
    """Name the interpreter of an environment that asks for a Python; raise InputError where it is not here."""
    found = find_python(
        environment.python,
        default=environ.get("MODELYARD_PYTHON") or sys.executable,
        uv=find_uv(environ),
        environ=environ,
        asked=environment.asked,
    )
    return _describe_interpreter(found)


def _describe_interpreter(python: str) -> str:
    code = "import platform, sys; print(sys.version, sys.platform, platform.machine(), sys.base_prefix)"
    return subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def environment_path(home: Home, key: str) -> Path:
    """The virtual environment of a key."""
    return home.environments / key / "default"


def is_made(home: Home, key: str) -> bool:
    """Tell whether the environment of a key is there, whole."""
    return (home.environments / key / MARKER).is_file()


def make_environment(home: Home, plan: EnvironmentPlan, environ: Mapping[str, str], on_output: OnOutput) -> bool:
    """Make an environment unless it is there; return whether it was made. Failure leaves nothing behind."""
    folder = home.environments / plan.key
    if is_made(home, plan.key):
        on_output(f"---> environment {plan.name} {plan.key[:12]}: equal requirements are installed already, reused")
        return False
    waiting = f"---> environment {plan.name} {plan.key[:12]}: another build is making it, wait for that"
    with home.lock(f"environment-{plan.key}", on_wait=lambda: on_output(waiting)) as lock:
        if is_made(home, plan.key):
            on_output(f"---> environment {plan.name} {plan.key[:12]}: made by that other build, reused")
            return False
        remove_tree(folder)
        folder.mkdir(parents=True)
        try:
            lib = install_runtime(home, digest_runtime())
            _assemble(plan, folder, lib, environ, on_output, lock)
            about = {
                "schema": 1,
                "key": plan.key,
                "created": datetime.now(UTC).isoformat(),
                "python": plan.python,
                "requirements": list(plan.requirements),
                "size": measure_tree(folder),
            }
            write_record(folder / MARKER, about)
        except BaseException:
            remove_tree(folder)
            raise
    return True


def environment_size(home: Home, key: str) -> int:
    """The bytes of an environment, as measured when it was made."""
    record = read_record(home.environments / key / MARKER)
    return int(record["size"]) if record else 0


def _assemble(
    plan: EnvironmentPlan, folder: Path, lib: Path, environ: Mapping[str, str], on_output: OnOutput, lock: int
) -> None:
    if plan.setup is not None:
        code, last = run_setup(plan.setup, name=plan.setup_name, environ=environ, on_output=on_output, locks=[lock])
        if code:
            last = [*last, f"error: setup.sh failed with exit code {code}"]
            raise explain_build_failure(plan.owner, code, last, hint=_root_hint(plan.setup, last))
    variables = {
        # Most modules of a large package are never imported, and the first import compiles those that are.
        "UV_COMPILE_BYTECODE": "0",
        **inherit(environ),
        **plan.arguments,
        **read_network_profile(environ).variables,
        "APP_ROOT": str(folder / "app"),
        "S2I_SOURCE": str(plan.source),
        "MODELYARD_LIB": str(lib),
        "PYTHONPATH": str(lib),
        "MODELYARD_ENVIRONMENTS": str(folder),
        "MODELYARD_PYTHON": environ.get("MODELYARD_PYTHON") or sys.executable,
        "MODELYARD_STAGES": "requirements",
        "MODELYARD_GROUPS": "default",  # each has a folder, a key and an assemble of its own
        "MODELYARD_REQUIREMENTS_FILE": plan.requirements_file,
        "UV": find_uv(environ),
    }
    code, last = run_command(plan.command, environ=variables, on_output=on_output, locks=[lock])
    if code:
        raise explain_build_failure(plan.owner, code, last)


def _root_hint(script: Path, last: list[str]) -> str | None:
    failed_in_setup = any(line.startswith("error: setup.sh failed") for line in last)
    if os.geteuid() == 0 or not failed_in_setup or not _NEEDS_ROOT.search(script.read_text(errors="replace")):
        return None
    return (
        "setup.sh installs native packages, which needs root, and the local engine runs it on this machine as you. "
        "Install them yourself and build again without SETUP=1 (MODELYARD_SKIP_SETUP=1: without a warning), or use an "
        "engine with containers"
    )
