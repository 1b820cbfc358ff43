"""Training projects/mnist with what images tell libraries, and without: python benchmarks/torch_train.py [--busy 2]

By turns, three rounds; the medians are printed, milliseconds of a step and of CPU time in it, and one JSON line.
`--busy` keeps that many cores busy meanwhile.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import run_benchmark, run_well, start, stopping
from torch_serve import MODEL, ROOT, make_environment, modelyard

from modelyard.runtime.cores import library_variables

TRAIN = """
import json, resource, sys, time
from functools import partial
import torch
from common_utils.arrays import read_arrays
from common_utils.torch_model import TorchModel
from mnist.common_utils.network import make_network
from mnist.common_utils.pictures import prepare_all

def spent():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime

path, steps = sys.argv[1], int(sys.argv[2])
pictures, labels = read_arrays(path, "pictures", "labels")
loss, optimizer = torch.nn.functional.cross_entropy, partial(torch.optim.AdamW, lr=0.003)
model = TorchModel(make_network, loss=loss, optimizer=optimizer, batch_size=100, device="cpu")
inputs, targets = prepare_all(pictures[:2000]), labels[:2000].astype("int64")
model.fit(inputs, targets, N=5)
before = spent()
model.fit(inputs, targets, N=steps)
print(json.dumps([(after - start) / steps * 1000 for start, after in zip(before, spent())]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0)
    options = parser.parse_args()
    modelyard("data", str(MODEL.parent))
    kinds = {"plain": {}, "told": library_variables({}, workers=1)}
    rounds: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    with TemporaryDirectory() as folder:
        python = make_environment(Path(folder, "environment"))
        with keep_busy(options.busy):
            for _ in range(options.rounds):
                for kind, variables in kinds.items():
                    rounds[kind].append(train(python, options.steps, variables))
                    print(f"{kind}: {rounds[kind][-1][0]:.1f} ms a step", file=sys.stderr, flush=True)
    medians = {kind: [statistics.median(column) for column in zip(*runs, strict=True)] for kind, runs in rounds.items()}
    for kind, (wall, cpu) in medians.items():
        print(f"{kind:6} {wall:7.1f} ms a step, {cpu:7.1f} ms of CPU")
    wall, cpu = (round(medians["plain"][column] / medians["told"][column], 2) for column in (0, 1))
    print(json.dumps({"busy": options.busy, "wall_ratio": wall, "cpu_ratio": cpu}))


def train(python: Path, steps: int, variables: dict[str, str]) -> list[float]:
    """Milliseconds of a step, and of CPU time in it."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "projects")))
    command = [str(python), "-c", TRAIN, str(MODEL.parent / "data" / "mnist.npz"), str(steps)]
    environ = {**os.environ, **variables, "PYTHONPATH": path}
    figures: list[float] = json.loads(run_well(command, environ=environ))
    return figures


@contextmanager
def keep_busy(count: int) -> Iterator[None]:
    """Run that many processes that do nothing, all the time."""
    with ExitStack() as running:
        for _ in range(count):
            running.enter_context(stopping(start([sys.executable, "-c", "while True: pass"])))
        yield


if __name__ == "__main__":
    run_benchmark(main)
