"""Environment groups mean the same in every engine: one image, one daemon, two versions of one package."""

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import write_tree
from modelyard.context.build_context import BuildContext
from modelyard.context.staging import stage_combined
from modelyard.engines.protocols import ContainerSpec, PublishedPort
from modelyard.errors import BuildError

pytestmark = pytest.mark.integration

PREDICT = """\
import sys
import six

def predict(msg):
    return {"six": six.__version__, "python": "%d.%d" % sys.version_info[:2]}
"""


@pytest.fixture
def stage(make_workspace, tmp_path):
    """Stage an all/ of three models that need different versions of six, with `files` in place of theirs."""

    def run(**files: str) -> BuildContext:
        models = {}
        for name, requirement in (("fresh", "six==1.17.0"), ("other", "six>=1.17"), ("stale", "six==1.16.0")):
            models[f"projects/mix/{name}/.s2i/environment"] = f"ROUTES={name}:mix.{name}.predict:predict"
            models[f"projects/mix/{name}/predict.py"] = PREDICT
            models[f"projects/mix/{name}/requirements_predict.txt"] = requirement
        workspace = make_workspace({**models, **{f"projects/mix/{path}": text for path, text in files.items()}})
        combined = workspace.combined_directory(workspace.projects_root / "mix")
        write_tree(generate(workspace, combined))
        return stage_combined(workspace, combined, tmp_path / "context")

    return run


def ask(port: int, route: str) -> dict[str, str]:
    """Ask a route, as soon as the daemon is ready."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                break
        except OSError:
            assert time.monotonic() < deadline, "the daemon is not ready"
            time.sleep(0.1)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{route}", data=b"{}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as response:
        return dict(json.load(response))


def test_two_versions_of_one_package_answer_from_one_image(engine, stage):
    lines: list[str] = []
    context = stage()
    engine.build(context, tag="mix", on_output=lines.append)
    assert "---> requirements: install projects/mix/all/environments/six-1.16.0.txt" in lines
    port = engine.start(ContainerSpec("mix", name="mix", published=PublishedPort(port=0))).port
    assert [ask(port, route)["six"] for route in ("fresh", "other", "stale")] == ["1.17.0", "1.17.0", "1.16.0"]
    assert engine.build(context, tag="again").reused


def test_an_import_is_looked_for_in_the_models_own_environment(engine, stage):
    lazy = "import idna\n" + PREDICT
    context = stage(**{"stale/predict.py": lazy, "other/requirements_predict.txt": "six>=1.17\nidna"})
    with pytest.raises(BuildError, match=r"imports 'idna', which no requirement provides in the environment 'six-1.16"):
        engine.build(context, tag="mix")


def test_a_python_that_is_not_there_is_said_with_the_way_out(engine, stage):
    with pytest.raises(Exception, match=r"asks for Python 3.98, which is not on this machine") as caught:
        engine.build(stage(**{"stale/.python-version": "3.98"}), tag="mix")
    assert "BASE_IMAGE" in str(caught.value)


def test_a_foreign_tool_that_knows_no_groups_gets_them_from_the_source(stage, tmp_path):
    """What upstream s2i does with the staged source: the builder's assemble alone, all stages at once."""
    context = stage()
    variables = {"APP_ROOT": "app", "MODELYARD_ENVIRONMENTS": "environments"}
    environ = {**os.environ, **{name: str(tmp_path / value) for name, value in variables.items()}}
    environ |= {"S2I_SOURCE": str(context.source), "MODELYARD_PYTHON": sys.executable, "PYTHONPATH": ""}
    environ["MODELYARD_LIB"] = os.pathsep.join(path for path in sys.path if path.endswith("src"))
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"  # noqa: PTH120
    command = ["bash", str(context.scripts / "assemble")]
    done = subprocess.run(command, env={**environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, version in (("default", "1.17.0"), ("six-1.16.0", "1.16.0")):
        python = tmp_path / "environments" / name / "bin" / "python"
        code = "import six; print(six.__version__)"
        assert subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip() == version
