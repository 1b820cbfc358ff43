"""Devices, the predictor and the memory plan."""

import os
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here; test_torch_projects.py runs this in its own")

from torch import nn  # noqa: E402

from common_utils.device_memory import claim_memory, ledger_for, parse_size, read_claims  # noqa: E402
from common_utils.devices import DeviceError, choose_device, describe_device  # noqa: E402
from common_utils.torch_predictor import TorchPredictor  # noqa: E402

GIB = 2**30
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
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
    predictor = TorchPredictor.for_serving(module, pictures[:1].numpy(), environ={"DEVICE": "cpu"})
    assert next(module.parameters()).is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(predictor(pictures), expected, atol=1e-6)
    assert np.allclose(predictor(pictures[:1]), expected[:1], atol=1e-6)


def test_weights_of_every_number_of_dimensions_are_served():
    module = nn.Sequential(nn.Unflatten(1, (1, 2, 2, 2)), nn.Conv3d(1, 2, 2), nn.Flatten())
    predictor = TorchPredictor.for_serving(module, np.ones((1, 8), np.float32), environ={"DEVICE": "cpu"})
    assert predictor(np.ones((3, 8))).shape == (3, 2)


def test_a_module_that_does_not_compile_is_served_as_it_is(monkeypatch, caplog):
    def refuse(module, **_):
        raise RuntimeError("no compiler here\nlong trace")

    monkeypatch.setattr(torch, "compile", refuse)
    module = nn.Linear(2, 1)
    assert serve_compiled(module).module is module
    assert "no compiler here" in caplog.text and "long trace" not in caplog.text


def test_a_module_that_compiles_to_other_answers_is_served_as_it_is(monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", lambda module, **_: lambda rows: module(rows) + (len(rows) > 1))
    module = nn.Linear(2, 1)
    assert serve_compiled(module).module is module
    assert "changes answers by up to 1" in caplog.text


@pytest.mark.parametrize("autocast", ["0", "1"])
def test_nothing_is_compiled_while_requests_wait(monkeypatch, autocast):
    graphs = []

    def make_graph(graph, _):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=make_graph))
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    predictor = serve_compiled(module, example=np.ones((1, 1, 8, 8), np.float32), AUTOCAST=autocast)
    made = len(graphs)
    assert made and predictor.module is not module
    for rows in (1, 2, 5, 16, 40, 100):
        predictor(np.ones((rows, 1, 8, 8)))
    assert len(graphs) == made


def serve_compiled(module, *, example=np.ones((1, 2), np.float32), **environ):  # noqa: B008
    environ = {"DEVICE": "cpu", "TORCH_COMPILE": "1", **environ}
    return TorchPredictor.for_serving(module, example, environ=environ)


def test_a_predictor_for_serving_reads_its_settings():
    predictor = TorchPredictor.for_serving(
        nn.Linear(2, 1), np.ones((1, 2), np.float32), environ={"DEVICE": "cpu", "AUTOCAST": "1"}
    )
    assert predictor.autocast and predictor(np.ones((3, 2))).shape == (3, 1)


class Card:
    """A card of 10 GiB in torch's place: `use` takes from it as the caching allocator does, within the fraction set."""

    def __init__(self):
        self.total = self.free = 10 * GIB
        self.limit, self.reserved, self.peak = self.total, 0, 0

    def use(self, size):
        if size > min(self.limit, self.free + self.reserved):
            raise torch.OutOfMemoryError("CUDA out of memory")
        taken = max(0, size - self.reserved)
        self.free, self.reserved = self.free - taken, self.reserved + taken
        self.peak = max(self.peak, self.reserved)

    def empty_cache(self):
        self.free, self.reserved = self.free + self.reserved, 0

    def reset_peak_memory_stats(self, _):
        self.peak = self.reserved

    def set_per_process_memory_fraction(self, fraction, _):
        self.limit = round(fraction * self.total)


@pytest.fixture
def card(monkeypatch, tmp_path):
    """The card, and a folder of its own for the claims."""
    card = Card()
    fakes = {
        "mem_get_info": lambda _: (card.free, card.total),
        "memory_reserved": lambda _: card.reserved,
        "max_memory_reserved": lambda _: card.peak,
        "get_device_properties": lambda _: SimpleNamespace(name="NVIDIA Card", uuid="0-1"),
        **{name: getattr(card, name) for name in dir(Card) if name.endswith(("_cache", "_stats", "_fraction"))},
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("common_utils.device_memory._own", {})
    return card


@pytest.fixture
def ledger(card):
    path = ledger_for("NVIDIA Card 0-1")
    path.mkdir(parents=True)
    return path


@pytest.fixture
def other_worker(ledger):
    """Another process that has claimed 6 GiB and taken nothing yet."""
    code = (
        "import sys; from pathlib import Path; from common_utils.device_memory import write_claim\n"
        f"write_claim(Path(sys.argv[1]), 6 * {GIB}); print('claimed', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(ledger)],
        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.communicate()


def test_a_worker_claims_what_its_largest_batch_took_and_keeps_to_it(card, ledger):
    with claim_memory(CUDA, None):
        card.use(2 * GIB)
    assert card.limit == int(2 * GIB * 1.1) == int((ledger / str(os.getpid())).read_text())
    with pytest.raises(torch.OutOfMemoryError):
        card.use(3 * GIB)


def test_a_worker_that_finds_less_than_it_wants_does_not_start(card, other_worker):
    expected = rf"5\.00 GiB are wanted, 3\.00 GiB are left, others have claimed: process {other_worker.pid}: 6\.00 GiB"
    with pytest.raises(DeviceError, match=expected), claim_memory(CUDA, "5GiB"):
        pytest.fail("it must not load its model")
    with claim_memory(CUDA, "2GiB"):
        assert card.limit == 2 * GIB


def test_a_worker_that_loads_takes_nothing_that_others_have_claimed(card, other_worker):
    with pytest.raises(DeviceError, match=r"the model takes more, 3\.00 GiB are left"), claim_memory(CUDA, None):
        card.use(4 * GIB)
    assert card.free == card.total


def test_memory_of_programs_that_claim_none_counts(card):
    card.free = GIB
    with pytest.raises(DeviceError, match=r"2\.00 GiB are wanted, 1\.00 GiB are left, nobody else has claimed any"):
        claim_memory(CUDA, "2GiB").__enter__()


def test_a_batch_that_did_not_fit_is_no_part_of_the_claim(card, monkeypatch):
    class Hungry(nn.Module):
        def forward(self, rows):
            card.use(GIB)
            card.use(len(rows) * GIB)
            return rows

    predictor = TorchPredictor(Hungry(), device=CPU, batch_size=8)
    predictor.device = SimpleNamespace(type="cuda")
    monkeypatch.setattr(predictor, "_forward", predictor.module)
    card.free = 5 * GIB
    with claim_memory(CUDA, None):
        predictor(np.ones((8, 1)))
    assert (predictor.batch_size, card.limit) == (4, int(4 * GIB * 1.1))


def test_a_second_model_of_a_worker_is_part_of_its_claim(card, ledger):
    for size in (2, 5):
        with claim_memory(CUDA, None):
            card.use(size * GIB)
    assert card.limit == int((ledger / str(os.getpid())).read_text()) == int(5 * GIB * 1.1)
    for _ in range(2):
        with claim_memory(CUDA, "6GiB"):
            card.use(6 * GIB)


def test_a_claim_goes_with_its_process_however_that_ends(ledger, card, other_worker):
    assert read_claims(ledger) == {other_worker.pid: 6 * GIB}
    other_worker.kill()
    other_worker.wait()
    assert read_claims(ledger) == {}
    with claim_memory(CUDA, "9GiB"):
        card.use(9 * GIB)


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
