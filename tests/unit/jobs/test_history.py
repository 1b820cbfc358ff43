"""Histories, in every form."""

import json

import pytest

from modelyard.errors import InputError, ModelyardError
from modelyard.jobs.history import format_gauges, read_history

TASK = {"epochs": 3, "batch": 32, "lr": 0.01, "parallelism": 2, "static": True, "k": 16, "validate_every": 2}
EVENTS = [
    {"event": "start", "task": TASK, "samples": 100},
    {"event": "epoch", "epoch": 1, "time": 5.0, "train_loss": 1.5, "accuracy": None, "parallelism": 2, "seconds": 2.5},
    {
        "event": "epoch",
        "epoch": 2,
        "time": 9.0,
        "train_loss": float("nan"),
        "validation_loss": 0.75,
        "accuracy": 0.5,
        "parallelism": 3,
        "seconds": 1.5,
        "samples": 100,
    },
]
TEXT = "".join(json.dumps(event) + "\n" for event in EVENTS)


@pytest.fixture
def history(make_job):
    return read_history(make_job(events=TEXT, state="finished"))


def test_a_table_has_a_row_an_epoch_and_nothing_where_nothing_is_known(history):
    assert history.as_csv().splitlines() == [
        "epoch,train_loss,validation_loss,accuracy,parallelism,seconds,samples,samples_per_second,lr,merges",
        "1,1.5,,,2,2.5,,,,",
        "2,,0.75,0.5,3,1.5,100,,,",
    ]


def test_the_original_reads_what_it_wrote(history):
    assert history.as_original() == {
        "id": "6a000001",
        "task": {
            "model_type": "digits/net",
            "batch_size": 32,
            "epochs": 3,
            "dataset": None,
            "lr": 0.01,
            "function_name": "net",
            "options": {
                "default_parallelism": 2,
                "static_parallelism": True,
                "validate_every": 2,
                "k": 16,
                "goal_accuracy": None,
            },
        },
        "data": {
            "validation_loss": [0.75],
            "accuracy": [0.5],
            "train_loss": [1.5],
            "parallelism": [2, 3],
            "epoch_duration": [2.5, 1.5],
        },
    }


def test_gauges_have_the_last_value_of_each_job_under_the_originals_names(history, make_job):
    other = read_history(make_job("6a000002", events="", state="running"))
    text = format_gauges([history, other], with_total=True)
    values = [line for line in text.splitlines() if not line.startswith("#")]
    assert values == [
        'kubeml_job_validation_loss{jobid="6a000001"} 0.75',
        'kubeml_job_validation_accuracy{jobid="6a000001"} 0.5',
        'kubeml_job_train_loss{jobid="6a000001"} 1.5',
        'kubeml_job_parallelism{jobid="6a000001"} 3',
        'kubeml_job_epoch_duration_seconds{jobid="6a000001"} 1.5',
        'kubeml_functions_running{type="train"} 1',
    ]
    for line in values:
        assert f"# TYPE {line.partition('{')[0]} gauge" in text.splitlines()
    assert format_gauges([other]) == ""


def test_a_missing_library_is_named_with_its_extra(history, tmp_path, monkeypatch):
    from modelyard.commands.job_plots import plot_histories, write_tensorboard

    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ModelyardError) as error:
        plot_histories([history], tmp_path / "a.png")
    assert error.value.hint == "pip install 'modelyard[plot]'"
    with pytest.raises(ModelyardError) as error:
        write_tensorboard(history, tmp_path)
    assert error.value.hint == "pip install 'modelyard[tensorboard]'"
    assert not isinstance(error.value, InputError)
