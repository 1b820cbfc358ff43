import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.commands.building import BuildRequest, build_image, describe_build
from modelyard.errors import BuildError, EngineError, InputError, RunError
from modelyard.house import house_root
from tests.conftest import write_files
from tests.unit.commands.fakes import make_image


@pytest.fixture
def request_(workspace, model) -> BuildRequest:
    return BuildRequest(workspace=workspace, subject=model, kind="predict")


def edit_build_script(root: Path, text: str) -> None:
    write_files(root, {"build.sh": f"#!/usr/bin/env bash\n{text}\n"})
    (root / "build.sh").chmod(0o755)


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
