"""Any models together: models whose requirements fight are served by one daemon, each from its own environment."""

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from modelyard.workspace import Workspace
from tests.component.requirements.wheels import make_wheel

pytestmark = pytest.mark.integration

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# Tells what it runs on.
PREDICT = """
    import sys
    from importlib.metadata import version

    import {module}

    def predict(msg):
        versions = {{name: version(name) for name in {packages!r}}}
        return {{**versions, "python": "{{}}.{{}}".format(*sys.version_info), "prefix": sys.prefix}}
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Ask = Callable[[str], dict[str, Any]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a command, with an engine of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MODELYARD_HOME": str(tmp_path / "home"), "MODELYARD_ENGINE": "local"}


@pytest.fixture
def wheelhouse(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A folder of wheels that no index has: the old one needs figures<2, the new one figures>=2."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(folder, "mixtest_figures", version)
    make_wheel(folder, "mixtest_old", "1.0", "mixtest_figures<2")
    make_wheel(folder, "mixtest_new", "1.0", "mixtest_figures>=2")
    make_wheel(folder, "mixtest_plain", "1.0")
    environ |= {"PIP_FIND_LINKS": str(folder), "UV_FIND_LINKS": str(folder)}
    return folder


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    """Run modelyard in a folder; unless `fails`, its output is the message where it does."""

    def run_command(*arguments: str, cwd: Path, fails: bool = False) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "modelyard", *arguments]
        done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done

    return run_command


@pytest.fixture
def make_project(make_workspace, wheelhouse: Path) -> Callable[..., Workspace]:
    """Make a project `mix` of models, by name: (requirements, a module to import, its packages), and files."""

    def make(models: Mapping[str, tuple[str, str, tuple[str, ...]]], **files: str) -> Workspace:
        texts: dict[str, str] = {}
        for name, (requirements, module, packages) in models.items():
            folder = f"projects/mix/{name}"
            texts[f"{folder}/.s2i/environment"] = f"ROUTES={name}:mix.{name}.predict:predict"
            texts[f"{folder}/predict.py"] = textwrap.dedent(PREDICT).format(module=module, packages=packages)
            texts[f"{folder}/requirements_predict.txt"] = requirements
            texts[f"{folder}/test/test_instances.json"] = "[{}]"
        return make_workspace({**texts, **{f"projects/mix/{path}": text for path, text in files.items()}})

    return make


@pytest.fixture
def serve(run: Run) -> Iterator[Callable[[Workspace], Ask]]:
    """Generate all/ of the project, build and start its daemon; returns how to ask a route."""
    started: list[Path] = []

    def start(workspace: Workspace) -> Ask:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        project = workspace.projects_root / "mix"
        run("generate", ".", cwd=project)
        started.append(project)
        run("serve", "all", "--name", "mix-test", "--port", str(port), cwd=project)
        return lambda route: ask(port, route)

    yield start
    for project in started:
        with suppress(AssertionError):  # it may never have started
            run("stop", "mix-test", cwd=project)


def ask(port: int, route: str) -> dict[str, Any]:
    """Ask a route of a daemon; the answer must be a 200."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", f"/{route}", body=b"{}", headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    assert response.status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def test_models_that_fight_answer_side_by_side(make_project, serve, run, environ):
    workspace = make_project(
        {
            "fresh": ("mixtest_new\nmixtest_figures\n", "mixtest_new", ("mixtest_new", "mixtest_figures")),
            "easy": ("mixtest_plain\nmixtest_figures>=1", "mixtest_plain", ("mixtest_plain", "mixtest_figures")),
            "stale": ("# never touched again\nmixtest_old\n", "mixtest_old", ("mixtest_old", "mixtest_figures")),
        }
    )
    route = serve(workspace)
    fresh, easy, stale = route("fresh"), route("easy"), route("stale")
    assert (fresh["mixtest_figures"], easy["mixtest_figures"], stale["mixtest_figures"]) == ("2.0", "2.0", "1.0")
    assert fresh["prefix"] == easy["prefix"] != stale["prefix"]

    explained = run("generate", ".", cwd=workspace.projects_root / "mix").stderr
    places = [f"projects/mix/{name}/requirements_predict.txt" for name in ("fresh", "stale")]
    assert f"fresh and stale: {places[0]}:1: mixtest-new cannot go with {places[1]}:2: mixtest-old" in explained
    assert "Because " in explained
    assert "no edit of one to three lines was found" in explained
    run("generate", ".", "--check", cwd=workspace.projects_root / "mix")
    assert "ok  mix/all\n" in run("doctor", cwd=workspace.root, fails=True).stdout  # it misses what trains the models

    again = run("build", "all", cwd=workspace.projects_root / "mix")
    assert "is unchanged" in again.stdout + again.stderr
    alone = run("build", "stale", cwd=workspace.projects_root / "mix")
    assert "mixtest-old" not in alone.stdout and "reused" in alone.stdout + alone.stderr


def test_the_edit_that_joins_two_models_was_tried(make_project, run):
    workspace = make_project(
        {
            "fresh": ("mixtest_figures>=2", "mixtest_figures", ("mixtest_figures",)),
            "stale": ("mixtest_old\nmixtest_figures==1.0", "mixtest_old", ("mixtest_old",)),
        }
    )
    project = workspace.projects_root / "mix"
    explained = run("generate", ".", cwd=project).stderr
    # The other way round was tried before, but what stale needs does not go with newer figures.
    edit = "projects/mix/fresh/requirements_predict.txt:1: write mixtest-figures==1.0 in place of mixtest-figures>=2"
    assert edit in explained
    (project / "fresh/requirements_predict.txt").write_text("mixtest_figures==1.0")
    joined = run("generate", ".", cwd=project)
    assert "environments.json" in joined.stdout and "cannot be one" not in joined.stderr
    assert not (project / "all/environments").exists() and not (project / "all/environments.json").exists()


def test_a_model_that_cannot_be_installed_alone_is_an_error(make_project, run):
    workspace = make_project(
        {
            "fresh": ("mixtest_old\nmixtest_figures>=2", "mixtest_old", ()),
            "easy": ("mixtest_plain", "mixtest_plain", ()),
        }
    )
    said = run("generate", ".", cwd=workspace.projects_root / "mix", fails=True).stderr
    places = [f"projects/mix/fresh/requirements_predict.txt:{line}" for line in (1, 2)]
    assert f"{places[1]}: mixtest-figures>=2 cannot go with {places[0]}: mixtest-old" in said


def test_an_import_that_only_another_environment_has_is_found_at_build(make_project, run):
    workspace = make_project(
        {
            "fresh": ("mixtest_new", "mixtest_new", ()),
            "stale": ("mixtest_old", "mixtest_new", ()),
            "extra": ("mixtest_new", "mixtest_new", ()),
        }
    )
    project = workspace.projects_root / "mix"
    run("generate", ".", cwd=project)
    said = run("build", "all", cwd=project, fails=True).stderr
    assert "mix/stale/predict.py:5 imports 'mixtest_new', which no requirement provides in the environment" in said


def find_other_python() -> tuple[str, Path] | None:
    """A Python of another version, with the folder that has it, if this machine has one."""
    for version in ("3.13", "3.12", "3.14", "3.10", "3.9"):
        for path in (
            shutil.which(f"python{version}"),
            *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
        ):
            if version != HERE and path and subprocess.run([path, "-V"], capture_output=True).returncode == 0:
                return version, Path(path).parent
    return None


def test_a_model_runs_on_the_python_it_asks_for(make_project, serve, environ):
    found = find_other_python()
    if found is None:
        pytest.skip(f"this machine has no Python but {HERE}")
    version, folder = found
    environ["PATH"] = f"{environ['PATH']}{os.pathsep}{folder}"
    models = {
        "here": ("mixtest_plain", "mixtest_plain", ("mixtest_plain",)),
        "there": ("mixtest_plain", "mixtest_plain", ("mixtest_plain",)),
    }
    route = serve(make_project(models, **{"there/.python-version": f"{version}\n"}))
    assert (route("here")["python"], route("there")["python"]) == (HERE, version)


def test_a_python_that_is_not_here_is_said_before_anything_is_installed(make_project, run):
    workspace = make_project({"there": ("mixtest_plain", "mixtest_plain", ())}, **{"there/.python-version": "3.98\n"})
    said = run("build", "there", cwd=workspace.projects_root / "mix", fails=True)
    assert "asks for Python 3.98, which is not on this machine" in said.stderr
    assert "uv python install 3.98" in said.stderr
    assert "--->" not in said.stdout


def test_the_daemon_says_which_environment_is_missing(make_project, run, environ):
    workspace = make_project({"fresh": ("mixtest_new", "mixtest_new", ()), "stale": ("mixtest_old", "mixtest_old", ())})
    project = workspace.projects_root / "mix"
    run("generate", ".", cwd=project)
    run("build", "all", "--tag", "mix-test", cwd=project)
    for link in Path(environ["MODELYARD_HOME"]).glob("images/*/environments/group-2"):
        link.unlink()
        environments = link.parent
    command = ["bash", str(environments.parent / "s2i/run")]
    values = {"APP_ROOT": str(environments.parent / "app"), "MODELYARD_ENVIRONMENTS": str(environments), "PORT": "0"}
    values["MODELYARD_LIB"] = str(environments.parent / "lib")
    values["ROUTES"] = "fresh:mix.fresh.predict:predict,stale:mix.stale.predict:predict"
    done = subprocess.run(command, env={**environ, **values}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "mix/stale needs the environment 'group-2', but there is no " in done.stderr


def test_scikit_learn_numpy_and_flask_of_different_times_in_one_daemon(make_project, serve):
    """Real packages of an index: what fights, and a Flask that is not the daemon's own, which is newer."""
    workspace = make_project(
        {
            "old": ("scikit-learn==1.3.2\nnumpy==1.26.4\n", "sklearn", ("scikit-learn", "numpy")),
            "new": ("scikit-learn==1.7.2\nnumpy>=2,<3\n", "sklearn", ("scikit-learn", "numpy")),
            "web": ("Flask==1.1.4\nmarkupsafe<2.1\nnumpy>=2\n", "flask", ("flask", "werkzeug", "numpy")),
        }
    )
    route = serve(workspace)
    old, new, web = route("old"), route("new"), route("web")
    assert (old["scikit-learn"], old["numpy"]) == ("1.3.2", "1.26.4")
    assert (new["scikit-learn"], new["numpy"].partition(".")[0]) == ("1.7.2", "2")
    assert (web["flask"], web["werkzeug"]) == ("1.1.4", "1.0.1")
    assert new["prefix"] == web["prefix"] != old["prefix"]
