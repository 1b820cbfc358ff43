"""When two images share an environment, and what a failed one says."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import write_tree
from modelyard.context.build_context import BuildContext
from modelyard.context.staging import stage_combined, stage_model
from modelyard.engines import open_engine
from modelyard.engines.local import environments
from modelyard.engines.local.environments import plan_environments
from modelyard.errors import EngineError, InputError
from modelyard.machine.failure import explain_build_failure

MODEL = "projects/income/forest"


@pytest.fixture
def stage(make_workspace, tmp_path: Path):
    def run(*, requirements: str = "six", kind: str = "train", variant: str = "cpu", **files: str) -> BuildContext:
        workspace = make_workspace(
            {
                f"{MODEL}/.s2i/environment": "TRAIN_MODULE=train\nPREDICT_MODULE=predict",
                f"{MODEL}/train.py": "def train(msg): return 1",
                f"{MODEL}/requirements_train.txt": requirements,
                f"{MODEL}/requirements_predict.txt": requirements,
                **{f"{MODEL}/{name}": text for name, text in files.items()},
            }
        )
        model = workspace.model_directory(workspace.root / MODEL)
        return stage_model(workspace, model, kind, tmp_path / "context", variant=variant)

    return run


def key_of(context: BuildContext) -> str:
    return plan_environments(context, {})[0].key


def test_equal_requirements_share_an_environment_whatever_the_source_and_the_kind(stage):
    first = key_of(stage())
    assert key_of(stage(**{"train.py": "def train(msg): return 2"})) == first
    assert key_of(stage(requirements="# a comment\nsix\n")) == first
    assert key_of(stage(kind="predict")) == first


def test_what_decides_what_is_installed_makes_another_environment(stage, monkeypatch):
    first = key_of(stage())
    others = {
        key_of(stage(requirements="six==1.16")),
        key_of(stage(**{"setup.sh": "true"})),
        key_of(stage(variant="cuda")),
        key_of(stage(**{".s2i/bin/assemble": "#!/bin/bash\n"})),
    }
    monkeypatch.setattr(environments, "describe_python", lambda environ: "another Python")
    others.add(key_of(stage()))
    assert len(others - {first}) == 5


def test_settings_of_uv_that_decide_versions_make_another_environment(stage, tmp_path):
    def keys(environ: dict[str, str]) -> list[str]:
        return [plan.key for plan in plan_environments(stage(kind="predict"), environ)]

    pins = tmp_path / "pins.txt"
    pins.write_text("six==1.16")
    environ = {"UV_CONSTRAINT": str(pins)}
    plain, pinned = keys({}), keys(environ)
    pins.write_text("six==1.15")
    others = [pinned, keys(environ), keys({"UV_PRERELEASE": "allow"}), keys({"UV_EXCLUDE_NEWER": "2024-01-01"})]
    for number in range(len(plain)):  # the model's own and the gateway's
        assert len({plain[number], *(each[number] for each in others)}) == 5
    assert keys({"UV_CACHE_DIR": "/x", "UV_DEFAULT_INDEX": "https://a/simple"}) == plain


def test_a_setup_that_ran_makes_another_environment_than_one_left_out(stage):
    left_out = stage(kind="predict", **{"setup.sh": "true"})
    ran = replace(left_out, runs_setup=True)
    first, second = (plan_environments(context, {}) for context in (left_out, ran))
    assert (first[0].key != second[0].key, first[1].key == second[1].key) == (True, True)
    assert (first[0].setup, second[0].setup, second[1].setup) == (None, ran.source / "setup.sh", None)


@pytest.fixture
def stage_two(make_workspace, tmp_path: Path):
    """Stage an all/ of two models that fight; `python` is what the second asks for."""

    def run(*, python: str = "") -> BuildContext:
        files = {}
        for name, version in (("forest", "1.17"), ("tree", "1.16")):
            files[f"projects/income/{name}/.s2i/environment"] = f"ROUTES={name}:income.{name}.predict:run"
            files[f"projects/income/{name}/predict.py"] = "def run(msg): return 1"
            files[f"projects/income/{name}/requirements_predict.txt"] = f"six=={version}"
        if python:
            files["projects/income/tree/.python-version"] = python
        workspace = make_workspace(files)
        combined = workspace.combined_directory(workspace.projects_root / "income")
        write_tree(generate(workspace, combined))
        return stage_combined(workspace, combined, tmp_path / "combined")

    return run


def test_each_group_is_an_environment_that_single_models_share(stage, stage_two):
    plans = {plan.name: plan for plan in plan_environments(stage_two(), {})}
    assert list(plans) == ["default", "six-1.16", "gateway"]
    assert plans["default"].key == key_of(stage(requirements="six==1.17"))
    assert plans["six-1.16"].key == key_of(stage(requirements="six==1.16"))
    assert plans["six-1.16"].requirements_file == "projects/income/all/environments/six-1.16.txt"


def test_a_group_with_a_python_of_its_own_has_another_key(stage_two, monkeypatch):
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    first = {plan.name: plan.key for plan in plan_environments(stage_two(), {})}
    second = {plan.name: plan.key for plan in plan_environments(stage_two(python=here), {})}
    assert second["default"] == first["default"]
    assert set(second) == {"default", f"python-{here}", "gateway"}
    assert second[f"python-{here}"] != first["six-1.16"]


def test_a_python_that_this_machine_has_not_is_an_error(stage_two, tmp_path):
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(InputError, match=r"'python-3.98' asks for Python 3.98, which is not on this machine"):
        plan_environments(stage_two(python="3.98"), environ)


def test_daemon_has_an_environment_of_its_own_for_the_gateway(stage):
    plans = plan_environments(stage(kind="predict"), {})
    assert [plan.name for plan in plans] == ["default", "gateway"]
    assert any(line.startswith("flask") for line in plans[1].requirements)


def test_interpreter_that_does_not_run_is_an_error(stage):
    with pytest.raises(EngineError, match="MODELYARD_PYTHON=/no/python does not run"):
        plan_environments(stage(), {"MODELYARD_PYTHON": "/no/python"})


def test_failure_names_the_last_step_and_keeps_the_hint_apart():
    last = ["---> setup: run setup.sh", "---> requirements: install x", "error: it broke", "  hint: mend it"]
    error = explain_build_failure("income/forest", 5, last)
    assert error.message.startswith("assemble of income/forest failed at 'requirements: install x' with exit code 5:\n")
    assert error.hint == "mend it"
    assert "mend it" not in error.message


@pytest.mark.parametrize(
    ("uid", "script", "says_root"),
    [(1000, "apt-get install -y libgomp1", True), (0, "apt-get install -y libgomp1", False), (1000, "make", False)],
)
def test_setup_that_needs_root_says_how_to_go_on(tmp_path, monkeypatch, uid, script, says_root):
    (tmp_path / "setup.sh").write_text(script)
    monkeypatch.setattr(environments.os, "geteuid", lambda: uid)
    hint = environments._root_hint(tmp_path / "setup.sh", ["error: setup.sh failed with exit code 100"])
    assert (hint is not None and "MODELYARD_SKIP_SETUP=1" in hint) == says_root


def test_no_such_engine_lists_those_there_are():
    with pytest.raises(EngineError, match="there is no engine 'dokcer'"):
        open_engine("dokcer", {})
