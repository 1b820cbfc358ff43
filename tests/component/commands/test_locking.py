"""Locks in builds: used where they are fresh, said where they are not, and asked for by `--locked`."""

import shutil

import pytest

from modelyard.commands.building import BuildRequest, Limits, build_image, find_lockable, staged
from modelyard.commands.locking import check_locks, write_locks
from modelyard.errors import ModelyardError, StaleError
from tests.component.requirements.wheels import make_wheel
from tests.conftest import write_files

RF = "projects/income/rf"


@pytest.fixture(autouse=True)
def wheels(tmp_path, monkeypatch):
    """What uv finds packages in."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "arrays", "1.0")
    for name, value in {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder), "UV_CACHE_DIR": str(tmp_path / "uv")}.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def request_(workspace, model) -> BuildRequest:
    write_files(model.path, {"requirements_train.txt": "arrays\n", "requirements_predict.txt": "arrays\n"})
    return BuildRequest(workspace=workspace, subject=model, kind="predict", limits=Limits(locked=True))


def lock(request, engine, reporter, **options) -> list[str]:
    with staged(request) as context:
        return list(write_locks(context, engine, reporter, **options))


def built(request, engine, reporter, monkeypatch) -> tuple[str, ...]:
    """The requirements of the context that the engine got."""
    seen = []
    build = engine.build
    monkeypatch.setattr(engine, "build", lambda context, **rest: seen.append(context) or build(context, **rest))
    build_image(request, engine, reporter)
    return seen[-1].requirements


def test_a_build_is_of_its_lock(request_, engine, reporter, monkeypatch, wheels):
    assert lock(request_, engine, reporter) == [f"wrote {RF}/requirements_predict.lock"]
    make_wheel(wheels, "arrays", "2.0")
    (line,) = built(request_, engine, reporter, monkeypatch)
    assert line.startswith("arrays==1.0 --hash=sha256:")


def test_a_fresh_lock_stays_but_for_an_upgrade(request_, engine, reporter, wheels):
    lock(request_, engine, reporter)
    make_wheel(wheels, "arrays", "2.0")
    assert lock(request_, engine, reporter) == [f"{RF}/requirements_predict.lock is up to date"]
    assert lock(request_, engine, reporter, upgrade=True) == [f"wrote {RF}/requirements_predict.lock"]
    assert "arrays==2.0" in (request_.subject.path / "requirements_predict.lock").read_text()


def test_a_stale_lock_is_a_warning_with_the_way_out(request_, engine, reporter, monkeypatch):
    lock(request_, engine, reporter)
    write_files(request_.subject.path, {"requirements_predict.txt": "arrays>=1\n"})
    request = BuildRequest(workspace=request_.workspace, subject=request_.subject, kind="predict")
    assert built(request, engine, reporter, monkeypatch) == ("arrays>=1",)
    (warning,) = [line for line in reporter.lines if line.startswith("warning: ")]
    assert f"{RF}/requirements_predict.lock is stale" in warning
    assert f"modelyard lock {RF}" in warning


@pytest.mark.parametrize("state", ["missing", "stale"])
def test_locked_it_is_an_error(request_, engine, reporter, state):
    if state == "stale":
        lock(request_, engine, reporter)
        write_files(request_.subject.path, {"requirements_predict.txt": "arrays>=1\n"})
    with pytest.raises(StaleError, match=rf"requirements_predict\.lock is {state}") as error:
        build_image(request_, engine, reporter)
    assert f"modelyard lock {RF}" in str(error.value.hint)
    assert engine.calls == []


def test_check_names_what_is_not_fresh(request_, engine, reporter):
    with staged(request_) as context:
        with pytest.raises(StaleError, match=r"requirements_predict\.lock is missing"):
            check_locks(context, engine)
        lock(request_, engine, reporter)
        check_locks(context, engine)


def test_a_failed_lock_leaves_the_one_before(request_, engine, reporter, wheels):
    lock(request_, engine, reporter)
    before = (request_.subject.path / "requirements_predict.lock").read_text()
    shutil.rmtree(wheels)
    wheels.mkdir()
    write_files(request_.subject.path, {"requirements_predict.txt": "arrays>=1\n"})
    with pytest.raises(Exception, match="could not be installed"):
        lock(request_, engine, reporter)
    assert (request_.subject.path / "requirements_predict.lock").read_text() == before
    assert not list(request_.subject.path.glob(".*.part"))


def test_what_can_be_locked_at_a_place(request_, workspace):
    def found(place: str) -> list[tuple[str, str]]:
        requests = find_lockable(workspace, workspace.root / place, variant="cpu")
        return [(request.subject.full_name, request.kind) for request in requests]

    both = [("income/rf", "train"), ("income/rf", "predict")]
    assert found(RF) == both
    assert found("projects/income") == both
    write_files(workspace.root, {"projects/income/all/requirements.txt": "arrays\n"})
    assert found(RF) == both
    assert found("projects/income") == [*both, ("income/all", "predict")]
    assert found("projects/income/all") == [("income/all", "predict")]
    assert found("projects") == [*both, ("income/all", "predict")]


def test_the_uv_of_the_variable_uv_is_the_one_that_locks(request_, engine, reporter, monkeypatch):
    monkeypatch.setenv("UV", "/nowhere/uv")
    with pytest.raises(ModelyardError, match=r"uv can't be run: /nowhere/uv") as error:
        lock(request_, engine, reporter)
    assert "the variable UV names it" in str(error.value.hint)
