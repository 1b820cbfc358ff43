"""Engines to test, and small builders whose images are bash scripts."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from modelyard.context.build_context import BuildContext
from modelyard.context.staging import stage_model
from modelyard.engines import open_engine
from modelyard.engines.protocols import Engine
from modelyard.workspace import Kind
from tests.integration.engine_daemons import ROOT, one_at_a_time, running_engine, save_base, stop_services

# A builder that knows nothing of environments: what it runs is the source's main.sh.
BASH_ASSEMBLE = """\
#!/bin/bash
set -euo pipefail
echo "---> copy"
mkdir -p "$APP_ROOT"
cp -R "$S2I_SOURCE/." "$APP_ROOT/"
"""
BASH_RUN = """\
#!/bin/bash
cd "$APP_ROOT"
exec bash main.sh
"""
MODEL = "projects/demo/m"
ENGINES = ("local", "docker", "podman")
_SERVICES = "MODELYARD_TEST_SERVICES"
StageScript = Callable[..., BuildContext]
StageModel = Callable[..., BuildContext]
BUILD = """
import os, sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from modelyard.context.build_context import load_context
from modelyard.engines import open_engine
engine = open_engine(sys.argv[1], os.environ)
context = replace(load_context(Path(sys.argv[2])), runs_setup=True)
image = engine.build(context, tag=sys.argv[3], on_output=lambda line: print(line, flush=True))
print(f"reused={image.reused}", flush=True)
"""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which engines the suite ran on."""
    ran = {
        outcome: {
            engine
            for report in terminalreporter.stats.get(outcome, ())
            for engine in ENGINES
            if re.search(rf"\[{engine}\b", getattr(report, "nodeid", ""))
        }
        for outcome in ("passed", "failed", "skipped")
    }
    tested = ran["passed"] | ran["failed"]
    if tested or ran["skipped"]:
        missing = ", ".join(sorted(ran["skipped"] - tested)) or "none"
        terminalreporter.write_line(f"engines tested: {', '.join(sorted(tested)) or 'none'}; NOT tested: {missing}")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder in which all processes of a run keep what they have started."""
    if not hasattr(config, "workerinput"):
        os.environ[_SERVICES] = tempfile.mkdtemp(prefix="modelyard-engines-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what any process of the run has started, when all of them have ended."""
    if not hasattr(config, "workerinput"):
        services = Path(os.environ.pop(_SERVICES))
        stop_services(services)
        shutil.rmtree(services)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Hand out tests by what they share: those of one engine's store, or of a file, run one after the other."""
    return _StoreScheduling(config, log)


class _StoreScheduling(LoadScopeScheduling):
    # Not the groups of xdist's own marks: with pytest 9.2 they are lost, silently.
    def _split_scope(self, nodeid: str) -> str:
        return _group_of(nodeid)


def _group_of(nodeid: str) -> str:
    """The engine of images that a test uses, by its parameter or as ENGINE of its file; else the file."""
    path, _, test = nodeid.partition("::")
    asked = re.search(rf"\b({'|'.join(ENGINES[1:])})\b", test.partition("[")[2])
    return asked[1] if asked else _engine_of_file(path) or path


@cache
def _engine_of_file(path: str) -> str | None:
    fixed = re.search(r'^ENGINE = "(\w+)"$', (ROOT / path).read_text(), re.MULTILINE)
    return fixed and fixed[1]


@pytest.fixture(scope="session")
def image_engines() -> Iterator[Callable[[str], dict[str, str]]]:
    """The variables that lead to a running engine of images, by its name; started on use, stopped in the end."""
    with ExitStack() as stack:
        started: dict[str, dict[str, str]] = {}

        def start(engine: str) -> dict[str, str]:
            if engine not in started:
                started[engine] = stack.enter_context(running_engine(engine, Path(os.environ[_SERVICES])))
            return started[engine]

        yield start


@pytest.fixture(scope="session")
def saved_base(image_engines: Callable[[str], dict[str, str]]) -> Path:
    """The base image of Docker as a layout, named `base`: compressed once for all tests of a run."""
    name = image_engines("docker")["MODELYARD_BASE_IMAGE"]
    services = Path(os.environ[_SERVICES])
    with one_at_a_time(services / "base.lock"):
        return save_base(services / "base", name)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Every engine there is; one that this machine lacks is a skip with its reason."""
    if request.param != "local":
        request.getfixturevalue("image_engines")(request.param)
    return str(request.param)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the embedded engine of a test keeps its things."""
    return tmp_path / "home"


@pytest.fixture
def environ(request: pytest.FixtureRequest, home: Path, engine_name: str) -> dict[str, str]:
    """The environment a command would have, with a namespace of its own in an engine that others use."""
    common = {**os.environ, "MODELYARD_HOME": str(home), "MODELYARD_NAMESPACE": f"test-{secrets.token_hex(4)}"}
    return common if engine_name == "local" else common | request.getfixturevalue("image_engines")(engine_name)


@pytest.fixture
def engine(engine_name: str, environ: dict[str, str]) -> Iterator[Engine]:
    """An engine with nothing in it; what still runs in the end is stopped."""
    opened = open_engine(engine_name, environ)
    yield opened
    for container in opened.containers():
        opened.stop(container.name, grace=0.0)
    if engine_name != "local":
        for image in opened.images():
            opened.remove(image.id)
        opened.prune()


@pytest.fixture
def stage_script(make_workspace, tmp_path: Path) -> StageScript:
    """Stage an application that is a bash script, for a builder that is one as well."""

    def stage(script: str, *, assemble: str = BASH_ASSEMBLE, **files: str) -> BuildContext:
        scripts = {"builders/bash/s2i/bin/assemble": assemble, "builders/bash/s2i/bin/run": BASH_RUN}
        return _stage(make_workspace, tmp_path, {"main.sh": script, **files}, scripts, builder="bash")

    return stage


@pytest.fixture
def stage_train(make_workspace, tmp_path: Path) -> StageModel:
    """Stage a train image of the files given by name and text, `train_py` for train.py."""

    def stage(source: str, *, requirements: str = "six", folder: str = "context", **files: str) -> BuildContext:
        model = {"train.py": source, "requirements_train.txt": requirements, **files}
        return _stage(make_workspace, tmp_path, model, {}, builder=None, folder=folder)

    return stage


def _stage(make_workspace, tmp_path, model, others, *, builder, folder="context", kind: Kind = "train") -> BuildContext:
    files = {f"{MODEL}/.s2i/environment": "TRAIN_MODULE=train\nGREETING=hello\n"}
    files |= {f"{MODEL}/{name}": text for name, text in model.items()} | others
    workspace = make_workspace(files)
    directory = workspace.model_directory(workspace.root / MODEL)
    context = stage_model(workspace, directory, kind, tmp_path / folder, builder=builder)
    return replace(context, runs_setup=True)  # engines are held to the same, whether they ask or not


@pytest.fixture
def start_build(engine_name: str, environ: dict[str, str]) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a build in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(context: BuildContext, tag: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", BUILD, engine_name, str(context.root), tag]
        process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
