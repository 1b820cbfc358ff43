import json
import os
from dataclasses import replace

import pytest

from modelyard.commands.manifest import read_manifest
from modelyard.commands.training import TrainRequest, describe_train, train_model
from modelyard.errors import InputError, RunError, WorkspaceError
from modelyard.workspace import ModelDirectory
from tests.conftest import write_files


@pytest.fixture
def request_(workspace, model):
    return TrainRequest(workspace=workspace, model=model)


def test_the_container_gets_payload_names_and_mounts(request_, engine, reporter):
    trained = train_model(request_, engine, reporter)
    assert json.loads(engine.spec.environment["PAYLOAD"]) == {"$ref": "data/adult.csv", "model_name": "income_rf"}
    assert engine.spec.environment["MODEL_NAME"] == engine.spec.environment["MODElNAME"] == "income_rf"
    assert engine.spec.environment["TRAIN"] == "1"
    project = request_.model.path.parent
    assert [(mount.source, mount.target, mount.read_only) for mount in engine.spec.mounts] == [
        (project / "data", "data", True),
        (project / "models", "models", False),
    ]
    assert trained.result == trained.metrics == {"accuracy": 0.75}
    assert not trained.reused


def test_names_and_payload_can_be_replaced(request_, engine, reporter):
    train_model(replace(request_, model_name="other"), engine, reporter)
    environment = engine.spec.environment
    assert json.loads(environment["PAYLOAD"])["model_name"] == environment["MODEL_NAME"] == "other"
    with pytest.raises(KeyError, match="model_name"):
        train_model(replace(request_, payload={"rows": 5}), engine, reporter)
    assert json.loads(engine.spec.environment["PAYLOAD"]) == {"rows": 5}


def test_what_is_unchanged_is_reused_and_says_so(request_, engine, reporter):
    train_model(request_, engine, reporter)
    again = train_model(replace(request_, reuse=True), engine, reporter)
    assert again.reused
    assert again.metrics == {"accuracy": 0.75}
    assert engine.calls.count("run") == 1
    assert "the trained model is reused" in reporter.lines[-1]


def test_another_modelyard_trains_nothing_again(request_, engine, reporter):
    train_model(request_, engine, reporter)
    engine.runtime = "newer-"
    assert train_model(replace(request_, reuse=True), engine, reporter).reused
    assert len(engine.built) == 2


def test_what_another_payload_trained_is_trained_again(request_, engine, reporter):
    train_model(replace(request_, payload={**request_.train_payload, "rounds": 1}), engine, reporter)
    assert not train_model(replace(request_, reuse=True), engine, reporter).reused


CHANGES = {
    "the source": {"rf/train.py": "def train(msg):\n    return {'new': 1}\n"},
    "the data": {"data/adult.csv": "3,4\n"},
    "a tampered binary": {"models/income_rf.bin": "another model"},
    "an old manifest": {"models/income_rf.json": '{"file": "income_rf.bin"}'},
}


@pytest.mark.parametrize("files", CHANGES.values(), ids=CHANGES)
def test_a_change_is_trained_again(request_, files, engine, reporter):
    train_model(request_, engine, reporter)
    write_files(request_.model.path.parent, files)
    model = ModelDirectory(request_.model.path)
    assert not train_model(replace(request_, model=model, reuse=True), engine, reporter).reused
    assert engine.calls.count("run") == 2


def test_a_lost_binary_and_a_payload_of_its_own_are_trained_again(request_, engine, reporter):
    train_model(request_, engine, reporter)
    (request_.models_folder / "income_rf.bin").unlink()
    assert not train_model(replace(request_, reuse=True), engine, reporter).reused
    payload = {"$ref": "data/adult.csv", "model_name": "income_rf", "rounds": 7}
    assert not train_model(replace(request_, reuse=True, payload=payload), engine, reporter).reused


def test_a_missing_data_set_names_file_and_makefile(request_, engine, reporter):
    (request_.data_folder / "adult.csv").unlink()
    with pytest.raises(WorkspaceError, match=r"data/adult\.csv: no such data set \(DATASET_NAME of .*rf/Makefile\)"):
        train_model(request_, engine, reporter)
    assert engine.calls == []


def test_a_failed_run_shows_its_last_lines(request_, engine, reporter):
    def fail(project, environment, on_output):
        on_output("Traceback (most recent call last):")
        on_output("RuntimeError: no convergence")
        return 1

    engine.train = fail
    with pytest.raises(RunError, match=r"exited with 1:\n.*\n  RuntimeError: no convergence") as error:
        train_model(request_, engine, reporter)
    assert "train.py" in error.value.hint


def test_a_killed_run_says_what_kills_runs(request_, engine, reporter):
    engine.train = lambda *_: 137
    with pytest.raises(RunError) as error:
        train_model(request_, engine, reporter)
    assert "memory" in error.value.hint


LOADER = "DataLoader worker is killed by signal: Bus error. Your dataloader's workers are out of shared memory"


@pytest.mark.parametrize(
    ("code", "line", "is_named"),
    [
        (135, "training", True),
        (1, f"RuntimeError: {LOADER}.", True),
        (1, "OSError: [Errno 28] No space left on device: '/dev/shm/pym-1-2'", True),
        (1, 'File "/model/torch_linear/train.py", line 3, in train', False),
    ],
)
def test_a_run_that_was_short_of_shared_memory_names_the_setting(request_, code, line, is_named, engine, reporter):
    def fail(project, environment, on_output):
        on_output(line)
        return code

    engine.train = fail
    with pytest.raises(RunError) as error:
        train_model(request_, engine, reporter)
    assert ("SHM_SIZE" in error.value.hint) is is_named


@pytest.mark.parametrize("lines", [[], ["training"]])
def test_an_end_without_a_result_is_no_success(request_, lines, engine, reporter):
    def leave(project, environment, on_output):
        for line in lines:
            on_output(line)
        return 0

    engine.train = leave
    with pytest.raises(RunError, match="exited with 0 and no result"):
        train_model(request_, engine, reporter)


def write_result(text):
    """Play a run that hands `text` over and prints something else."""

    def run(project, environment, on_output):
        (project / environment["MODELYARD_RESULT"]).write_text(text)
        on_output('{"printed": 1}')
        return 0

    return run


def test_the_result_is_what_the_run_has_handed_over_whatever_it_has_printed(request_, engine, reporter):
    engine.train = write_result('{"accuracy": 0.9}')
    assert train_model(request_, engine, reporter).result == {"accuracy": 0.9}
    assert list(request_.models_folder.iterdir()) == []


def test_what_looks_like_a_result_in_the_output_is_none(request_, engine, reporter):
    engine.train = write_result("")
    with pytest.raises(RunError, match="exited with 0 and no result"):
        train_model(request_, engine, reporter)


def test_a_train_function_that_saves_nothing_is_noted(request_, engine, reporter):
    train_model(request_, engine, reporter)

    def forget(project, environment, on_output):
        on_output("{}")
        return 0

    engine.train = forget
    assert train_model(request_, engine, reporter).manifest is None
    assert reporter.lines[-1] == "income/rf: the train function saved no model named income_rf"


def test_an_equal_model_saved_again_counts_as_saved(request_, engine, reporter):
    first = train_model(request_, engine, reporter)
    os.utime(request_.models_folder / "income_rf.json", (0, 0))
    assert train_model(request_, engine, reporter).manifest == first.manifest


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit(143), 137])
def test_half_written_files_of_a_killed_run_are_swept_and_no_others(request_, end, engine, reporter):
    models = request_.models_folder
    models.mkdir()
    (models / ".income_rf.0000.part").write_text("of a run that goes on")

    def die(project, environment, on_output):
        (models / f".income_rf.{environment['MODELYARD_RUN_ID']}.part").write_text("half")
        if end == 137:
            return end
        raise end

    engine.train = die
    with pytest.raises((KeyboardInterrupt, SystemExit, RunError)):
        train_model(request_, engine, reporter)
    assert [path.name for path in models.iterdir()] == [".income_rf.0000.part"]


def test_a_model_that_makes_its_own_data_has_no_reference(request_, engine, reporter):
    model = request_.model
    write_files(model.path, {"Makefile": "MODEL_NAME = income_rf\nDATASET_NAME =\n"})
    request = replace(request_, model=ModelDirectory(model.path))
    train_model(request, engine, reporter)
    assert json.loads(engine.spec.environment["PAYLOAD"]) == {"model_name": "income_rf"}
    assert train_model(replace(request, reuse=True), engine, reporter).reused


def test_the_plan_names_what_is_built_run_and_mounted(request_):
    plan = "\n".join(describe_train(request_))
    assert "tag the image income-rf-train" in plan
    assert 'run income.rf.train.train with the payload {"$ref": "data/adult.csv", "model_name": "income_rf"}' in plan
    assert f"{request_.models_folder}" in plan


def test_a_broken_manifest_is_named(request_, engine, reporter):
    write_files(request_.models_folder, {"income_rf.json": "{"})
    with pytest.raises(InputError, match=r"income_rf\.json: no JSON"):
        train_model(request_, engine, reporter)


def test_a_model_in_a_file_of_the_manifest_s_name_is_no_manifest(request_, engine, reporter):
    def save_as_json(project, environment, on_output):
        (project / "models" / "income_rf.json").write_text('{"learner": {}, "version": [3, 0, 0]}')
        on_output("{}")
        return 0

    engine.train = save_as_json
    for _ in range(2):
        assert train_model(replace(request_, reuse=True), engine, reporter).manifest is None
    assert read_manifest(request_.models_folder, "income_rf") is None
    assert engine.calls.count("run") == 2
