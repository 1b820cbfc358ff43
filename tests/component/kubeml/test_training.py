"""Trainings of several workers: exact, repeatable, and none the worse for being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="torch is not installed here; test_torch_projects.py runs this in an environment that has it"
)
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(ROOT)]

import kube_function  # noqa: E402

from kubeml.errors import KubeError  # noqa: E402
from kubeml.folders import write_folder  # noqa: E402
from kubeml.merging import _join, _split  # noqa: E402
from kubeml.seats import count_cores  # noqa: E402
from kubeml.shards import Shards, order_rows  # noqa: E402

ROWS, BATCH = 100, 8
SECONDS = 120


class Run:
    """A project's folder, in which models are trained."""

    def __init__(self, folder, monkeypatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        generator = np.random.default_rng(3)
        labels = generator.integers(0, 3, ROWS)
        data = (np.eye(3, 4)[labels] * 2 + generator.normal(size=(ROWS, 4))).astype(np.float32)
        (folder / "data" / "points").mkdir(parents=True)
        write_folder(folder / "data" / "points", train=(data, labels), test=(data[:30], labels[:30]))
        self.data, self.labels = torch.from_numpy(data), torch.from_numpy(labels)
        monkeypatch.chdir(folder)
        self.set(PYTHONPATH=os.pathsep.join([str(HERE), str(ROOT)]), PYTHONDONTWRITEBYTECODE=1)
        self.set(TRAIN_MODULE="kube_function", TRAIN_FUNCTION="main", MODELYARD_EVENTS=str(folder / "events.jsonl"))

    def set(self, **variables):
        for name, value in variables.items():
            self._monkeypatch.setenv(name, str(value))

    def train(self, **options):
        """Train in this process, whose workers are others."""
        self.set(PAYLOAD=json.dumps({"batch": BATCH, "lr": 0.1, "epochs": 2, "static": True, **options}))
        return kube_function.main()

    def weights(self):
        (path,) = self.folder.glob("models/kubeml.*.pth")
        return torch.load(path, weights_only=True)

    def history(self):
        return self.manifest()["attributes"]["history"]

    def manifest(self):
        return json.loads((self.folder / "models" / "kubeml.json").read_text())

    def events(self, kind=None):
        lines = map(json.loads, (self.folder / "events.jsonl").read_text().splitlines())
        return [line for line in lines if kind in (None, line["event"])]

    def seen(self):
        return [json.loads(line) for line in (self.folder / "seen.jsonl").read_text().splitlines()]


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights of two epochs with momentum, two workers and K = 3, in which nothing went wrong."""
    with pytest.MonkeyPatch.context() as patch:
        run = Run(tmp_path_factory.mktemp("undisturbed"), patch)
        run.set(MOMENTUM=0.9)
        run.train(parallelism=2, k=3)
        return run.weights()


def assert_same(weights, others):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


def plain_loop(run, *, workers, epochs, momentum=0.0):
    """One process that takes in each step all the rows that the workers take together."""
    torch.manual_seed(0)
    network = kube_function.NETWORKS["plain"]()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=momentum)
    shards = Shards(rows=ROWS, batch=BATCH, workers=workers)
    for epoch in range(epochs):
        order = order_rows(ROWS, seed=0, epoch=epoch, shuffle=True)
        for step in range(shards.steps()):
            batches = [number for rank in range(workers) for number in shards.in_round(rank, step, 1)]
            rows = np.concatenate([order[shards.place(number)] for number in batches])
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(run.data[rows]), run.labels[rows]).backward()
            optimizer.step()
    return network.state_dict()


@pytest.mark.parametrize("options", [{"k": 1}, {"k": 4, "warm_up": 2}, {"sync": "ddp", "k": 2}])
def test_averaging_after_every_step_equals_one_worker_with_all_the_rows(run, options):
    momentum = 0.9 if "sync" in options else 0
    run.set(MOMENTUM=momentum)
    run.train(parallelism=3, **options)
    for name, value in plain_loop(run, workers=3, epochs=2, momentum=momentum).items():
        assert torch.allclose(run.weights()[name], value, atol=1e-5, rtol=0), name
    assert [record["samples"] for record in run.history()] == [ROWS, ROWS]


def test_one_worker_equals_a_plain_loop_and_needs_no_other_process(run):
    run.set(MOMENTUM=0.9, SPELLING="released")
    result = run.train()
    assert_same(run.weights(), plain_loop(run, workers=1, epochs=2, momentum=0.9))
    assert result["status"] == "finished" and result["parallelism"] == [1, 1]
    assert not (run.folder / "models" / ".kubeml.training").exists()


def test_all_workers_are_equal_to_the_bit_and_counters_are_the_greatest(run):
    run.set(NETWORK="normal")
    run.train(parallelism=3)
    for epoch in (1, 2):
        states = [(line["sha256"], line["counters"]) for line in run.seen() if line["epoch"] == epoch]
        assert len(states) == 3 and len(set(map(str, states))) == 1
        assert states[0][1] == [epoch * Shards(rows=ROWS, batch=BATCH, workers=3).steps()]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(run, undisturbed):
    run.set(MOMENTUM=0.9)
    run.train(parallelism=2, k=3)
    assert_same(run.weights(), undisturbed)
    run.train(parallelism=2, k=3, seed=1)
    assert not torch.equal(run.weights()["weight"], undisturbed["weight"])
    assert run.events()[0]["event"] == "start" and run.events("end")[-1]["status"] == "finished"
    assert len(run.events("epoch")) == 4


@pytest.mark.parametrize("place", ["1:1:0", "2:5:1"])
def test_a_killed_worker_costs_at_most_k_steps(run, undisturbed, place):
    run.set(MOMENTUM=0.9, FAULT=f"kill:{place}")
    run.train(parallelism=2, k=3)
    assert_same(run.weights(), undisturbed)
    assert [record["samples"] for record in run.history()] == [ROWS, ROWS]
    assert sum(record["restarts"] for record in run.history()) == 1
    (restart,) = run.events("restart")
    assert restart["worker"] == int(place[-1]) and "SIGKILL" in restart["reason"]


def test_a_stop_saves_and_the_same_training_goes_on(run, undisturbed):
    run.set(MOMENTUM=0.9, FAULT="stop:1:1:1")
    assert run.train(parallelism=2, k=3)["status"] == "stopped"
    assert run.manifest()["attributes"]["status"] == "stopped" and run.history() == []
    assert run.events("end")[-1]["status"] == "stopped"
    result = run.train(parallelism=2, k=3)
    assert result["status"] == "finished" and result["samples"] == 2 * ROWS
    assert_same(run.weights(), undisturbed)


def test_what_follows_the_launcher_s_end_goes_on(run, undisturbed):
    run.set(MOMENTUM=0.9, FAULT="launcher:2:1:0")
    run.set(PAYLOAD=json.dumps({"batch": BATCH, "lr": 0.1, "epochs": 2, "static": True, "parallelism": 2, "k": 3}))
    command = [sys.executable, "-c", "import kube_function; print(kube_function.main())"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == -signal.SIGKILL, done.stderr
    marks = {b"FAULT=launcher:2:1:0", f"MODELYARD_EVENTS={run.folder / 'events.jsonl'}".encode()}
    deadline = time.monotonic() + 20
    while left := [path for path in Path("/proc").glob("[0-9]*/environ") if _has(path, marks)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.1)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0 and "going on from epoch 2" in done.stdout, done.stdout + done.stderr
    assert_same(run.weights(), undisturbed)
    assert [record["samples"] for record in run.history()] == [ROWS, ROWS]


def _has(path, marks):
    try:
        variables = set(path.read_bytes().split(b"\0"))
    except OSError:
        return False
    return path.parent.name != str(os.getpid()) and marks <= variables


@pytest.mark.parametrize(("fault", "said"), [("kill", "SIGKILL"), ("raise", "RuntimeError: this batch is bad")])
def test_a_batch_that_ends_its_worker_twice_ends_the_training(run, fault, said):
    run.set(FAULT=f"{fault}:1:2:1", FAULTS=9)
    with pytest.raises(KubeError) as caught:
        run.train(parallelism=2, k=2)
    number = Shards(rows=ROWS, batch=BATCH, workers=2).batches(1)[2]
    rows = order_rows(ROWS, seed=0, epoch=0, shuffle=True)[number * BATCH : (number + 1) * BATCH]
    assert said in str(caught.value) and ", ".join(map(str, rows)) in str(caught.value)
    assert len(list(run.folder.glob("fault-*"))) == 2
    assert run.events("end")[-1]["status"] == "failed"
    assert not list(run.folder.glob("models/kubeml*"))


@pytest.mark.skipif(count_cores() < 2, reason="with one core there are no more workers to try")
def test_a_worker_is_added_after_the_first_epoch(run):
    result = run.train(static=False, epochs=3)
    assert result["parallelism"][:2] == [1, 2] and len(result["parallelism"]) == 3


@pytest.mark.parametrize("sync", ["average", "ddp"])
@pytest.mark.parametrize("network", ["tied", "odd"])
def test_shared_unused_and_odd_state_is_no_trouble(run, sync, network):
    run.set(NETWORK=network)
    run.train(parallelism=2, k=2, sync=sync, average="plain", reset_optimizer=True)
    assert run.history()[-1]["accuracy"] > 0.4


def test_an_outer_optimizer_with_rate_one_and_no_momentum_is_the_average(run, undisturbed):
    run.set(MOMENTUM=0.9)
    run.train(parallelism=2, k=3, outer_lr=1.0, outer_momentum=0.0)
    for name, value in undisturbed.items():
        assert torch.allclose(run.weights()[name], value, atol=1e-5)
    run.set(FAULT="kill:2:5:1")
    run.train(parallelism=2, k=3, outer_lr=0.7, model_name="killed")
    run.train(parallelism=2, k=3, outer_lr=0.7, model_name="whole")
    digests = [json.loads((run.folder / f"models/{name}.json").read_text())["sha256"] for name in ("killed", "whole")]
    assert len(list(run.folder.glob("fault-*"))) == 1
    one, other = (torch.load(next(run.folder.glob(f"models/{name}.*.pth"))) for name in ("killed", "whole"))
    assert_same(one, other)
    assert len(digests) == 2


def test_more_workers_than_batches_are_not_started(run, capfd):
    result = run.train(parallelism=5, batch=64)
    assert result["parallelism"] == [2, 2] and "2 will do" in capfd.readouterr().out
    assert run.train(parallelism=5, batch=1000, fresh=True)["parallelism"] == [1, 1]


@pytest.mark.parametrize(
    ("fault", "said"),
    [("nan:1:3:0", "the loss is nan in epoch 1, batch 3"), ("none:1:3:0", "train returned NoneType in epoch 1")],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_loss_that_is_none_ends_the_training_at_once(run, fault, said, workers):
    run.set(FAULT=fault, FAULTS=9)
    with pytest.raises(KubeError, match=said):
        run.train(parallelism=workers)
    assert len(list(run.folder.glob("fault-*"))) == 1


def test_a_checkpoint_of_another_network_is_refused(run):
    run.set(FAULT="stop:1:1:0")
    run.train(parallelism=2, k=2)
    run.set(NETWORK="normal")
    with pytest.raises(KubeError, match=r"made for another network(.|\n)*--fresh"):
        run.train(parallelism=2, k=2)
    assert run.train(parallelism=2, k=2, fresh=True)["status"] == "finished"


def test_a_disk_that_is_full_ends_it_with_what_was_written_before(run):
    code = (
        "import resource, kube_function\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        "print(kube_function.main())\n"
    )
    run.set(PAYLOAD=json.dumps({"static": True}))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 1 and "can't write where the training stands" in done.stderr
    assert not list(run.folder.glob("models/.kubeml.training/.*.part"))


def test_two_trainings_of_one_model_at_once_are_refused(run):
    import fcntl

    folder = run.folder / "models" / ".kubeml.training"
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(KubeError, match="another training of this model is running"):
            run.train()
    finally:
        os.close(descriptor)


def test_training_on_import_is_refused(run, monkeypatch):
    (run.folder / "eager.py").write_text("import kube_function\nkube_function.main()\n")
    monkeypatch.syspath_prepend(str(run.folder))
    run.set(TRAIN_MODULE="eager")
    with pytest.raises(KubeError, match="calls start\\(\\) while it is imported"):
        import eager  # noqa: F401


def test_integers_of_any_size_survive_the_vector():
    values = torch.tensor([0, 1, -1, 2**62, -(2**63), 2**63 - 1, 70000])
    pieces = _split(values).to(torch.float32)
    assert pieces.max() < 2**16 and pieces.min() >= 0
    assert torch.equal(_join(pieces[None])[0], values)
