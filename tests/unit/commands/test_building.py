from dataclasses import replace

import pytest

from modelyard.commands.building import BuildRequest, Limits, build_image, build_staged, describe_build, stage
from modelyard.context.build_context import load_context
from modelyard.errors import InputError, WorkspaceError
from tests.conftest import write_files


@pytest.fixture
def request_(workspace, model) -> BuildRequest:
    return BuildRequest(workspace=workspace, subject=model, kind="predict")


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
    image = build_staged(load_context(tmp_path / "context"), Limits(), tag="mine", engine=engine, reporter=reporter)
    assert image.id != before
    assert reporter.lines == ["building mine", "built mine"]
