"""Training LeNet of projects/mnist over workers: benchmarks/kubeml.py [time|loop|kill|memory|table] [--seeds 3]

`time`: seconds of training until 97 % of the held-out pictures are right, with one worker and with two, K = 16.
`loop`: samples a second of one worker of ours, and of a plain torch loop on the same data set. `kill`: an epoch with a
worker killed by signal 9 in it, and one without. `memory`: what N workers hold together (PSS), and one. `table`:
seconds and accuracy of four epochs for each K, and for gradients in every step, by batch, beside a plain loop.
It uses `$MODELYARD_DATA/mnist` where that is set. Every figure is printed when it is measured, and medians at the end.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from processes import run_benchmark, run_well, start, stopping
from torch_serve import ROOT, make_environment, modelyard

GOAL = 0.97
PROJECT = ROOT / "projects" / "mnist"
TRAIN = "import json; from mnist.lenet.function import main; print(json.dumps(main()))"
# The same data set, order of rows and steps, as anybody would write them.
LOOP = """
import json, sys, time
import torch
from torch.utils.data import DataLoader
from kubeml.shards import order_rows
from mnist.lenet.function import LeNet, Mnist, make_network
batch, epochs, seed, threads = map(int, sys.argv[1:5])
lr = float(sys.argv[5])
torch.set_num_threads(threads)
torch.manual_seed(seed)
data, network = Mnist(), make_network()
LeNet(network, data).init(network)
optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
seconds = []
for epoch in range(epochs):
    order = order_rows(len(data), seed=seed, epoch=epoch, shuffle=True).tolist()
    started = time.monotonic()
    network.train()
    for x, y in DataLoader(data, batch_sampler=[order[i:i + batch] for i in range(0, len(order), batch)]):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        loss.item()
    seconds.append(time.monotonic() - started)
data.show(training=False)
network.eval()
with torch.no_grad():
    right = sum((network(x).argmax(1) == y).sum().item() for x, y in DataLoader(data, batch_size=batch))
print(json.dumps({"seconds": seconds, "accuracy": right / len(data)}))
"""


class Bench:
    """A folder with the data, and the Python that has torch."""

    def __init__(self, folder: Path) -> None:
        modelyard("data", str(PROJECT))
        self.folder = folder
        (folder / "data").symlink_to(PROJECT / "data")
        self.python = make_environment(folder / "environment")

    def environ(self, **payload: Any) -> dict[str, str]:
        """What a training's process is told."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "projects")]),
            "TRAIN_MODULE": "mnist.lenet.function",
            "TRAIN_FUNCTION": "main",
            "OMP_WAIT_POLICY": "PASSIVE",
            "MODELYARD_EVENTS": str(self.folder / "events"),
            "PAYLOAD": json.dumps({"model_name": "bench", "static": True, "fresh": True, **payload}),
        }

    def train(self, **payload: Any) -> list[dict[str, Any]]:
        """Train; return the history."""
        run_well([str(self.python), "-c", TRAIN], cwd=self.folder, environ=self.environ(**payload))
        manifest = json.loads((self.folder / "models" / "bench.json").read_text())
        history: list[dict[str, Any]] = manifest["attributes"]["history"]
        return history

    def loop(self, *, batch: int, epochs: int, seed: int, lr: float, threads: int) -> dict[str, Any]:
        """Train by the plain loop."""
        arguments = [str(value) for value in (batch, epochs, seed, threads, lr)]
        command = [str(self.python), "-c", LOOP, *arguments]
        said: dict[str, Any] = json.loads(run_well(command, cwd=self.folder, environ=self.environ()))
        return said

    @contextmanager
    def running(self, **payload: Any) -> Iterator[Any]:
        """A training that is going on."""
        (self.folder / "events").unlink(missing_ok=True)
        process = start([str(self.python), "-c", TRAIN], cwd=self.folder, environ=self.environ(**payload))
        with stopping(process):
            yield process

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What it has told so far."""
        path = self.folder / "events"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]


def measure_time(bench: Bench, seeds: int) -> None:
    """Seconds of training to the goal."""
    medians = {}
    for workers in (1, 2):
        taken = []
        for seed in range(seeds):
            told = {"k": 16, "batch": 32, "lr": 0.01, "epochs": 15, "goal_accuracy": GOAL, "seed": seed}
            history = bench.train(parallelism=workers, **told)
            taken.append(sum(record["seconds"] for record in history))
            reached = history[-1]["accuracy"]
            print(f"{workers} workers, seed {seed}: {taken[-1]:.1f} s, {len(history)} epochs, {reached:.4f}")
        medians[workers] = statistics.median(taken)
    print(f"to {GOAL}: {medians[1]:.1f} s with one, {medians[2]:.1f} s with two: {medians[2] / medians[1]:.2f}x")


def measure_loop(bench: Bench, seeds: int) -> None:
    """One worker beside a plain loop, by turns; both with one thread."""
    ours, plain = [], []
    for seed in range(seeds):
        os.environ["OMP_NUM_THREADS"] = "1"
        plain += bench.loop(batch=32, epochs=3, seed=seed, lr=0.01, threads=1)["seconds"]
        ours += [record["seconds"] for record in bench.train(batch=32, lr=0.01, epochs=3, seed=seed, validate_every=0)]
        del os.environ["OMP_NUM_THREADS"]
        print(f"seed {seed}: an epoch of ours {ours[-3:]}, of the plain loop {[round(t, 3) for t in plain[-3:]]}")
    one, other = statistics.median(ours), statistics.median(plain)
    print(f"an epoch: {one:.2f} s of ours, {other:.2f} s of a plain loop: {one / other:.2f}x")


def measure_kill(bench: Bench, seeds: int) -> None:
    """Epochs in each of which a worker is killed, with the start of the others, beside epochs in peace."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(seeds):
        for killed in (False, True):
            with bench.running(parallelism=2, k=16, batch=32, lr=0.01, epochs=4, seed=seed) as process:
                done = 0
                while process.poll() is None:
                    time.sleep(0.05)
                    if killed and len(bench.events("epoch")) == done + 1 and done < 3:
                        done += 1
                        time.sleep(0.5)
                        os.kill(find_worker(process.pid), 9)
            at = [event["time"] for event in bench.events("epoch")]
            assert [event["samples"] for event in bench.events("epoch")] == [bench.events("start")[0]["samples"]] * 4
            times[killed].append((at[-1] - at[0]) / 3)
            how = "killed" if killed else "in peace"
            print(f"seed {seed}, {how}: an epoch {times[killed][-1]:.2f} s; counted exactly")
    one, other = (statistics.median(times[killed]) for killed in (False, True))
    print(f"an epoch: {one:.2f} s in peace, {other:.2f} s with a kill: {other / one:.2f}x")


def measure_memory(bench: Bench, _: int) -> None:
    """The proportional memory of workers, and of what starts them."""
    held = {}
    for workers in (1, 2):
        with bench.running(parallelism=workers, k=16, batch=32, epochs=6, static=workers > 1) as process:
            while not bench.events("epoch") and process.poll() is None:
                time.sleep(0.1)
            held[workers] = sum(map(read_pss, descendants(process.pid)))
        print(f"{workers} workers and what starts them hold {held[workers] >> 20} MiB")


def measure_table(bench: Bench, _: int) -> None:
    """Four epochs of each K by each batch."""
    for batch in (16, 32, 64, 128):
        row = []
        for options in ({"k": 1}, {"k": 4}, {"k": 16}, {"k": -1}, {"sync": "ddp", "k": 16}):
            history = bench.train(parallelism=2, batch=batch, lr=0.01, epochs=4, validate_every=0, **options)
            name = "ddp" if "sync" in options else f"K={options['k']}"
            row.append(f"{name} {sum(record['seconds'] for record in history):.1f} s {history[-1]['accuracy']:.4f}")
        plain = bench.loop(batch=batch, epochs=4, seed=0, lr=0.01, threads=2)
        print(f"batch {batch}: {', '.join(row)}, plain loop {sum(plain['seconds']):.1f} s {plain['accuracy']:.4f}")


def find_worker(launcher: int) -> int:
    """A worker's process: it is in a session of its own, with the process it was forked from."""
    return max(pid for pid in descendants(launcher) if Path(f"/proc/{pid}/task/{pid}/children").read_text() == "")


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    path = Path(f"/proc/{pid}/task")
    children = [int(child) for task in path.iterdir() for child in (task / "children").read_text().split()]
    return [pid, *(below for child in children for below in descendants(child))]


def read_pss(pid: int) -> int:
    """Bytes of a process, what it shares counted in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


KINDS = {
    "time": measure_time,
    "loop": measure_loop,
    "kill": measure_kill,
    "memory": measure_memory,
    "table": measure_table,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", default=["all"], choices=["all", *KINDS])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in KINDS if "all" in options.kinds else options.kinds:
            print(f"--- {name}")
            KINDS[name](bench, options.seeds)


if __name__ == "__main__":
    run_benchmark(main)
