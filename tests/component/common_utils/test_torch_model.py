"""TorchModel: repeatable, going on exactly where it stopped, and files that can be trusted."""

import itertools
import json
import re
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here; test_torch_projects.py runs this in its own")

from torch import nn  # noqa: E402

from common_utils.model_records import RECORDS, find_model, read_records  # noqa: E402
from common_utils.torch_model import TorchModel, summarize_losses  # noqa: E402
from utils.errors import ModelBinaryError  # noqa: E402

FILE_NAME = r"modelFile-[0-9a-f]{12}-\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d\.pth"


def make_network():
    """A network that is random in training, so that resuming has something to get wrong."""
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))


def make_model(**settings):
    defaults = {"loss": nn.functional.mse_loss, "batch_size": 16, "device": "cpu"}
    return TorchModel(make_network, **{**defaults, **settings})


@pytest.fixture
def data():
    X = np.random.default_rng(0).normal(size=(50, 2))
    return X, X @ [[2.0], [3.0]]


def weights(model):
    return torch.cat([value.flatten() for value in model.module.state_dict().values()])


def test_a_line_is_found(data):
    model = TorchModel(
        partial(nn.Linear, 2, 1, bias=False),
        loss=nn.functional.mse_loss,
        optimizer=partial(torch.optim.Adam, lr=0.05),
        device="cpu",
    )
    losses = model.fit(*data, N=1500)
    assert len(losses) == 1500 and losses[-1] < 1e-11
    assert np.allclose(model.predict([[1.0, 1.0]]), [[5.0]], atol=1e-4)


def test_the_same_seed_gives_the_same_model_and_another_gives_another(data):
    first, second, other = make_model(seed=3), make_model(seed=3), make_model(seed=4)
    assert first.fit(*data, N=20) == second.fit(*data, N=20)
    assert torch.equal(weights(first), weights(second))
    assert first.losses != other.fit(*data, N=20)


def test_training_leaves_the_callers_random_numbers_alone(data):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_model().fit(*data, N=3)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("schedule", [None, lambda step: 1 / (1 + step)])
@pytest.mark.parametrize("stop", [1, 7, 30])
def test_training_goes_on_exactly_where_it_stopped(data, tmp_path, stop, schedule):
    straight = make_model(schedule=schedule)
    expected = straight.fit(*data, N=40)

    before = make_model(schedule=schedule)
    losses = before.fit(*data, N=stop)
    before.saveParams(tmp_path)
    after = make_model(schedule=schedule)
    after.loadParams(tmp_path)
    losses = losses + after.fit(*data, N=40 - stop)

    assert losses == expected
    assert torch.equal(weights(after), weights(straight))


def test_predictions_between_steps_change_no_step():
    def make_convolutions():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 1))

    make = partial(TorchModel, make_convolutions, loss=nn.functional.mse_loss, batch_size=8, device="cpu")

    pictures, targets = np.random.default_rng(0).normal(size=(20, 1, 8, 8)), np.ones((20, 1))
    expected = make().fit(pictures, targets, N=20)
    model = make()
    losses = model.fit(pictures, targets, N=10)
    model.predict(pictures)
    assert losses + model.fit(pictures, targets, N=10) == expected


def test_each_row_comes_once_in_a_pass_over_the_data():
    model = make_model(batch_size=4)
    rows = torch.arange(10.0).reshape(10, 1)
    batches = [batch for batch, _ in model._batches(rows, rows, count=6)]
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(torch.cat(batches[:3]).flatten().tolist()) == list(range(10))
    assert torch.cat(batches[:3]).tolist() != torch.cat(batches[3:]).tolist()


def test_a_saved_model_has_a_dated_name_and_an_entry(data, tmp_path):
    model = make_model(seed=7)
    losses = model.fit(*data, N=12)
    record = model.saveModel(tmp_path)

    assert re.fullmatch(FILE_NAME, record["file"])
    assert read_records(tmp_path) == [record]
    assert record["steps"] == 12 and record["parent"] is None and record["torch_version"] == torch.__version__
    assert record["loss"] == summarize_losses(losses)
    assert record["hyperparameters"]["optimizer"] == "Adam" and record["hyperparameters"]["seed"] == 7
    assert re.fullmatch("[0-9a-f]{64}", record["data_sha256"]) and record["device"] == "cpu"
    assert not list(tmp_path.glob("*.part"))


def test_a_retrained_model_names_its_parent(data, tmp_path):
    parent = make_model()
    parent.fit(*data, N=5)
    first = parent.saveModel(tmp_path)

    child = make_model()
    child.loadModel(find_model(tmp_path))
    child.fit(*data, N=5)
    second = child.saveModel(tmp_path)

    assert second["parent"] == first["id"] and second["steps"] == 10 and second["loss"]["steps"] == 5
    assert find_model(tmp_path).name == second["file"]
    assert find_model(tmp_path, first["id"]).name == first["file"]


def test_a_loaded_model_goes_on_with_the_rate_it_had_and_its_entry_says_so(data, tmp_path):
    make_model(optimizer=partial(torch.optim.Adam, lr=0.5)).saveParams(tmp_path)
    model = make_model(optimizer=partial(torch.optim.Adam, lr=0.1))
    model.loadParams(tmp_path)
    model.fit(*data, N=1)
    assert model.optimizer.param_groups[0]["lr"] == model.saveModel(tmp_path)["hyperparameters"]["lr"] == 0.5


def test_a_schedule_starts_from_the_rate_it_was_made_with(data, tmp_path):
    model = make_model(schedule=lambda step: 0.5**step, optimizer=partial(torch.optim.SGD, lr=1.0))
    model.fit(*data, N=3)
    assert model.optimizer.param_groups[0]["lr"] == 0.25 and model.hyperparameters["lr"] == 1.0


def test_a_whole_pickle_is_refused_with_a_hint(tmp_path):
    torch.save(make_network(), tmp_path / "params.pth")
    with pytest.raises(ModelBinaryError, match=r"params\.pth: .*could run code \(torch.*Sequential\)\n.*state_dict"):
        make_model().loadParams(tmp_path)


def test_bare_weights_are_refused(tmp_path):
    torch.save(make_network().state_dict(), tmp_path / "params.pth")
    with pytest.raises(ModelBinaryError, match="no saved TorchModel"):
        make_model().loadParams(tmp_path)


def test_a_changed_file_is_refused_before_it_is_read(data, tmp_path):
    model = make_model()
    model.fit(*data, N=1)
    path = tmp_path / model.saveModel(tmp_path)["file"]
    path.write_bytes(path.read_bytes()[:-10] + b"0123456789")
    with pytest.raises(ModelBinaryError, match=r"sha256 .* its entry says"):
        make_model().loadModel(path)


def test_a_truncated_file_is_refused(data, tmp_path):
    path = make_model().saveParams(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelBinaryError, match="torch can't read it"):
        make_model().loadParams(tmp_path)


def test_another_network_or_optimizer_is_refused(tmp_path):
    make_model().saveParams(tmp_path)
    with pytest.raises(ModelBinaryError, match="made for another network"):
        TorchModel(partial(nn.Linear, 2, 1), loss=nn.functional.mse_loss, device="cpu").loadParams(tmp_path)
    with pytest.raises(ModelBinaryError, match="trained with Adam, this model has SGD"):
        make_model(optimizer=partial(torch.optim.SGD, lr=0.1)).loadParams(tmp_path)


def test_shapes_that_torch_would_broadcast_are_an_error(data):
    X, y = data
    with pytest.raises(ValueError, match=r"outputs of shape \(16, 1\), targets of \(16, 50\)"):
        make_model().fit(X, np.repeat(y, 50, axis=1), N=1)
    with pytest.raises(ValueError, match="50 rows of X and 49 of y"):
        make_model().fit(X, y[:-1], N=1)


@pytest.mark.parametrize("steps", [0, -3])
def test_no_step_is_an_error(data, steps):
    with pytest.raises(ValueError, match=f"N is {steps}, expected a number of steps"):
        make_model().fit(*data, N=steps)


def test_a_loss_that_runs_away_is_an_error(data):
    model = make_model(optimizer=partial(torch.optim.SGD, lr=1e20))
    with pytest.raises(ArithmeticError, match=r"the loss is (nan|inf) in step \d+"):
        model.fit(*data, N=20)


def test_a_loss_that_runs_away_ends_training_when_progress_is_shown(data, monkeypatch):
    monkeypatch.setattr("time.monotonic", partial(next, itertools.count(step=5)))
    model = make_model(optimizer=partial(torch.optim.SGD, lr=1e20))
    with pytest.raises(ArithmeticError, match=r"in step \d+"):
        model.fit(*data, N=1000)
    assert model.steps < 100


def test_progress_shows_the_loss(data, capsys):
    make_model().fit(*data, N=3)
    assert re.search(r"training \[#{30}\] 3/3 .*loss \d", capsys.readouterr().err)


def test_the_records_are_plain_json(data, tmp_path):
    model = make_model()
    model.fit(*data, N=200)
    model.saveModel(tmp_path)
    content = json.loads((tmp_path / RECORDS).read_text())
    assert content["schema"] == 1 and len(content["models"][0]["loss"]["points"]) <= 50


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
def test_a_model_trained_on_cuda_goes_on_on_the_cpu_and_back(data, tmp_path):
    on_card = make_model(device="cuda")
    on_card.fit(*data, N=5)
    on_card.saveParams(tmp_path)
    on_cpu = make_model(device="cpu")
    on_cpu.loadParams(tmp_path)
    assert np.allclose(on_card.predict(data[0]), on_cpu.predict(data[0]), atol=1e-5)
    on_cpu.fit(*data, N=5)
    on_cpu.saveParams(tmp_path)
    on_card.loadParams(tmp_path)
    assert on_card.steps == 10 and next(on_card.module.parameters()).device.type == "cuda"
