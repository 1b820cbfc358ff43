"""Devices, the predictor and the memory plan."""

import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here; test_torch_projects.py runs this in its own")

from torch import nn  # noqa: E402

from common_utils.device_memory import parse_size, place_claim, read_claims  # noqa: E402
from common_utils.devices import DeviceError, choose_device, describe_device  # noqa: E402
from common_utils.torch_predictor import TorchPredictor, compile_checked  # noqa: E402

GIB = 2**30
CPU = torch.device("cpu")
without_card = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has an NVIDIA card")


class Small(nn.Module):
    """Takes few rows at once, as a card with little memory does."""

    def __init__(self, room):
        super().__init__()
        self.room, self.calls = room, []

    def forward(self, rows):
        self.calls.append(len(rows))
        if len(rows) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows * 2


def test_the_device_is_what_is_asked_for_or_the_variable_says(monkeypatch):
    assert choose_device("cpu") == CPU
    monkeypatch.setenv("DEVICE", "cpu")
    assert choose_device() == CPU and describe_device(CPU) == {"device": "cpu"}


@pytest.mark.parametrize("wish", ["gpu", "cuda:", "cuda:x", "cpu:1", "CUDA"])
def test_an_unknown_device_is_an_error_that_lists_the_known(wish):
    with pytest.raises(DeviceError, match=r"expected auto, cpu, cuda, cuda:N"):
        choose_device(wish)


@without_card
@pytest.mark.parametrize("wish", ["cuda", "cuda:3"])
def test_a_card_that_is_not_there_is_an_error_with_the_way_out(wish):
    with pytest.raises(DeviceError, match=f"'{wish}': torch .* use device=auto or cpu"):
        choose_device(wish)


@without_card
def test_auto_falls_back(monkeypatch):
    monkeypatch.delenv("DEVICE", raising=False)
    assert choose_device("auto").type in ("cpu", "mps")


def test_answers_come_in_batches_and_in_order():
    module = Small(room=100)
    rows = np.arange(10.0).reshape(10, 1)
    answers = TorchPredictor(module, device=CPU, batch_size=4)(rows)
    assert module.calls == [4, 4, 2] and np.array_equal(answers, rows * 2)
    assert answers.dtype == np.float32


def test_a_batch_that_does_not_fit_is_split_and_the_size_remembered():
    module = Small(room=3)
    predictor = TorchPredictor(module, device=CPU, batch_size=10)
    rows = np.arange(10.0).reshape(10, 1)
    assert np.array_equal(predictor(rows), rows * 2)
    assert module.calls == [10, 5, 2, 2, 2, 2, 2]
    predictor(rows[:4])
    assert module.calls[7:] == [2, 2]


def test_a_single_row_that_does_not_fit_is_the_error_it_is():
    with pytest.raises(torch.OutOfMemoryError):
        TorchPredictor(Small(room=0), device=CPU)(np.zeros((4, 1)))


def test_a_module_answers_in_evaluation_mode_and_without_gradients():
    module = nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 1))
    predictor = TorchPredictor(module, device=CPU)
    rows = np.ones((5, 4))
    assert np.array_equal(predictor(rows), predictor(rows))


def test_pictures_are_answered_as_by_the_module_itself_whatever_their_layout():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 4)).eval()
    pictures = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = module(pictures).numpy()
    predictor = TorchPredictor(module, device=CPU)
    assert next(module.parameters()).is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(predictor(pictures), expected, atol=1e-6)
    assert np.allclose(predictor(pictures[:1]), expected[:1], atol=1e-6)


def test_a_module_that_does_not_compile_is_served_as_it_is(monkeypatch, caplog):
    def refuse(module, **_):
        raise RuntimeError("no compiler here\nlong trace")

    monkeypatch.setattr(torch, "compile", refuse)
    module = nn.Linear(2, 1)
    assert compile_checked(module, torch.ones(1, 2)) is module
    assert "no compiler here" in caplog.text and "long trace" not in caplog.text


def test_a_module_that_compiles_to_other_answers_is_served_as_it_is(monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", lambda module, **_: lambda rows: module(rows) + 1)
    module = nn.Linear(2, 1)
    assert compile_checked(module, torch.ones(1, 2)) is module
    assert "changes answers by up to 1" in caplog.text


def test_a_predictor_for_serving_reads_its_settings():
    predictor = TorchPredictor.for_serving(
        nn.Linear(2, 1), np.ones((1, 2), np.float32), environ={"DEVICE": "cpu", "AUTOCAST": "1"}
    )
    assert predictor.autocast and predictor(np.ones((3, 2))).shape == (3, 1)


@pytest.fixture
def other_worker(tmp_path):
    """Another process that has claimed 6 GiB."""
    code = (
        "import sys; from pathlib import Path; from common_utils.device_memory import place_claim\n"
        f"place_claim(Path(sys.argv[1]), 6 * {GIB}, total=10 * {GIB}, device='card')\n"
        "print('claimed', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "card")],
        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.communicate()


def test_a_worker_that_finds_too_little_memory_does_not_start(tmp_path, other_worker):
    with pytest.raises(DeviceError, match=rf"5\.00 GiB of 10\.00 GiB .* process {other_worker.pid}: 6\.00 GiB"):
        place_claim(tmp_path / "card", 5 * GIB, total=10 * GIB, device="card")
    assert place_claim(tmp_path / "card", 2 * GIB, total=10 * GIB, device="card") == 2 * GIB


def test_a_second_model_of_a_worker_adds_to_its_claim(tmp_path):
    place_claim(tmp_path / "card", 2 * GIB, total=10 * GIB, device="card")
    assert place_claim(tmp_path / "card", 3 * GIB, total=10 * GIB, device="card") == 5 * GIB
    with pytest.raises(DeviceError, match=r"10\.00 GiB of 10\.00 GiB are needed, but claimed are nobody"):
        place_claim(tmp_path / "card", 5 * GIB, total=10 * GIB, device="card")


def test_a_claim_goes_with_its_process_however_that_ends(tmp_path, other_worker):
    assert read_claims(tmp_path / "card") == {other_worker.pid: 6 * GIB}
    other_worker.kill()
    other_worker.wait()
    assert read_claims(tmp_path / "card") == {}
    place_claim(tmp_path / "card", 9 * GIB, total=10 * GIB, device="card")


def test_a_size_that_is_none_is_an_error():
    with pytest.raises(DeviceError, match="DEVICE_MEMORY is 'lots'"):
        parse_size("lots")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
def test_a_worker_on_a_card_keeps_to_its_claim(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    module = nn.Sequential(nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 1))
    environ = {"DEVICE": "cuda", "DEVICE_MEMORY": "256MiB"}
    predictor = TorchPredictor.for_serving(module, np.ones((1, 64), np.float32), environ=environ, batch_size=100_000)
    answers = predictor(np.ones((100_000, 64), np.float32))
    assert answers.shape == (100_000, 1) and predictor.batch_size < 100_000
    torch.cuda.set_per_process_memory_fraction(1.0)
