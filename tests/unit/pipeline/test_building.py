import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.context import load_context
from modelyard.errors import BuildError, EngineError, InputError, RunError, WorkspaceError
from modelyard.house import house_root
from modelyard.pipeline.building import BuildRequest, build_context, build_image, describe_build, stage
from tests.conftest import write_files
from tests.unit.pipeline.fakes import make_image


@pytest.fixture
def request_(workspace, model) -> BuildRequest:
    return BuildRequest(workspace=workspace, subject=model, kind="predict")


def edit_build_script(root: Path, text: str) -> None:
    write_files(root, {"build.sh": f"#!/usr/bin/env bash\n{text}\n"})
    (root / "build.sh").chmod(0o755)


def test_a_build_says_whether_anything_changed(request_, engine, reporter):
    image = build_image(request_, engine, reporter)
    assert (image.kind, image.tags, image.reused) == ("predict", ("income-rf-predict",), False)
    assert build_image(request_, engine, reporter).reused
    assert reporter.lines == [
        *("building income-rf-predict", "built income-rf-predict"),
        *("building income-rf-predict", "income-rf-predict is unchanged"),
    ]


def test_no_context_stays_behind(request_, engine, reporter, tmp_path, monkeypatch):
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    seen = []

    def interrupt(context, **_):
        seen.extend(scratch.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "build", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_image(request_, engine, reporter)
    assert len(seen) == 1
    assert list(scratch.iterdir()) == []


def test_what_is_wrong_in_the_model_directory_is_said_before_anything_is_built(request_, engine, reporter):
    write_files(request_.subject.path, {"predict.py": "def other(msg): ...\n"})
    with pytest.raises(InputError, match=r"predict\.py"):
        build_image(request_, engine, reporter)
    assert engine.calls == []


def test_an_all_has_no_train_image(request_, workspace, tmp_path):
    combined = workspace.combined_directory(workspace.projects_root / "income")
    with pytest.raises(InputError, match="no train image"):
        stage(replace(request_, subject=combined, kind="train"), tmp_path / "context")


def test_an_all_that_was_not_generated_says_how(request_, workspace, engine, reporter):
    combined = workspace.combined_directory(workspace.projects_root / "income")
    with pytest.raises(WorkspaceError, match="income/all: not generated yet") as error:
        build_image(replace(request_, subject=combined), engine, reporter)
    assert "make generate" in error.value.hint


def test_the_plan_names_files_requirements_and_tag_and_needs_no_engine(request_):
    write_files(request_.subject.path, {"requirements_predict.txt": "six==1.17.0\n"})
    plan = describe_build(request_)
    assert "  income/rf/predict.py" in plan
    assert "  install six==1.17.0" in plan
    assert any(line.startswith("assemble with ") and line.endswith("builders/daemon, variant cpu:") for line in plan)
    assert plan[-1] == "tag the image income-rf-predict"


def test_a_staged_context_that_was_edited_is_built_as_it_is_now(request_, engine, reporter, tmp_path):
    stage(request_, tmp_path / "context")
    before = load_context(tmp_path / "context").source_digest
    write_files(tmp_path / "context" / "upload" / "src", {"table.csv": "1,2\n"})
    image = build_context(tmp_path / "context", tag="mine", engine=engine, reporter=reporter)
    assert image.id != before
    assert reporter.lines == ["building mine", "built mine"]


class TestBuildScript:
    def test_unedited_it_is_not_run(self, request_, engine, reporter):
        shutil.copy(house_root() / "build.sh", request_.workspace.root)
        build_image(request_, engine, reporter)
        assert engine.calls == ["build income-rf-predict"]

    def test_edited_it_builds_with_what_was_asked_for(self, request_, engine, reporter):
        root = request_.workspace.root
        edit_build_script(
            root,
            f'echo "$*" "$MODELYARD_ENGINE" "$VARIANT" "$MODELYARD_WITH_MODELS"\ntest -x "$MODELYARD"\ntouch {root}/r',
        )
        engine.built["sha"] = make_image("sha", "mine")
        image = build_image(replace(request_, tag="mine", variant="cuda", with_models=True), engine, reporter)
        assert image.id == "sha"
        assert engine.calls == []
        assert f"mine {request_.subject.path} predict fake cuda 1" in reporter.lines
        assert (root / "r").exists()

    def test_edited_it_is_the_plan(self, request_):
        edit_build_script(request_.workspace.root, "true")
        [line] = describe_build(request_)
        assert line == f"run {request_.workspace.root}/build.sh income-rf-predict {request_.subject.path} predict"

    def test_its_failure_is_a_build_error(self, request_, engine, reporter):
        edit_build_script(request_.workspace.root, "echo no space\nexit 9")
        with pytest.raises(BuildError, match=r"build\.sh exited with 9"):
            build_image(request_, engine, reporter)
        assert "no space" in reporter.lines

    def test_one_that_builds_nothing_is_no_success(self, request_, engine, reporter):
        edit_build_script(request_.workspace.root, "true")
        with pytest.raises(EngineError, match="income-rf-predict"):
            build_image(request_, engine, reporter)

    def test_one_that_cannot_be_run_says_how(self, request_, engine, reporter):
        edit_build_script(request_.workspace.root, "true")
        (request_.workspace.root / "build.sh").chmod(0o644)
        with pytest.raises(RunError, match=r"build\.sh can't be run: Permission denied") as error:
            build_image(request_, engine, reporter)
        assert "chmod +x" in error.value.hint

    def test_a_builder_of_the_command_line_is_refused(self, request_, engine, reporter):
        edit_build_script(request_.workspace.root, "true")
        with pytest.raises(InputError, match="--builder train"):
            build_image(replace(request_, builder="train"), engine, reporter)

    def test_a_build_inside_it_does_not_run_it_again(self, request_, engine, reporter, monkeypatch):
        edit_build_script(request_.workspace.root, "exit 9")
        monkeypatch.setitem(os.environ, "MODELYARD_INSIDE_BUILD_SCRIPT", str(request_.workspace.root / "build.sh"))
        build_image(request_, engine, reporter)
        assert engine.calls == ["build income-rf-predict"]
