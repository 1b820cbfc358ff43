"""Pictures and event files of histories, by the real libraries."""

import json
import struct
from pathlib import Path

import pytest

from modelyard.commands.job_plots import plot_histories, write_tensorboard
from modelyard.errors import InputError
from modelyard.jobs.history import read_history
from modelyard.jobs.record import Job

EPOCHS = [
    {"event": "epoch", "epoch": n, "time": 5.0 + n, "train_loss": 1 / n, "accuracy": 1 - 1 / n, "seconds": 0.5}
    for n in (1, 2, 3)
]


@pytest.fixture
def history(tmp_path):
    """A job that told of three epochs."""
    folder = tmp_path / "6a000001"
    folder.mkdir()
    (folder / "events.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in EPOCHS))
    common = {"engine": "local", "variables": {}, "container": "job", "run": {}, "created": 1.0}
    return read_history(Job(folder=folder, model="digits/net", model_name="net", **common))


def test_a_picture_is_of_the_kind_that_its_name_says(history, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'modelyard[plot]'")
    plot_histories([history, history], tmp_path / "both.png")
    width, height = struct.unpack(">II", (tmp_path / "both.png").read_bytes()[16:24])
    assert (width, height) == (1200, 840)
    plot_histories([history], tmp_path / "one.svg")
    assert (tmp_path / "one.svg").read_text().startswith("<?xml")
    with pytest.raises(InputError, match=r"one\.txt"):
        plot_histories([history], tmp_path / "one.txt")


def test_an_event_file_holds_every_value_at_its_epoch_and_time(history, tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed: pip install 'modelyard[tensorboard]'")
    write_tensorboard(history, tmp_path / "runs")
    (path,) = (tmp_path / "runs/6a000001").iterdir()
    found = set(read_scalars(path))
    expected = set()
    for epoch in EPOCHS:
        for key, tag in (("train_loss", "loss/train"), ("accuracy", "accuracy"), ("seconds", "epoch_duration")):
            expected.add((epoch["time"], epoch["epoch"], tag, pytest.approx(epoch[key]).expected))
    assert {one[:3] for one in found} == {one[:3] for one in expected}
    values = {one[1:3]: one[3] for one in found}
    assert all(values[one[1:3]] == pytest.approx(one[3]) for one in expected)


def read_scalars(path: Path):
    """What TensorBoard would read: records of a length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, offset = path.read_bytes(), 0
    while offset < len(content):
        (length,) = struct.unpack_from("<Q", content, offset)
        event = Event.FromString(content[offset + 12 : offset + 12 + length])
        yield from ((event.wall_time, event.step, one.tag, one.simple_value) for one in event.summary.value)
        offset += 16 + length
