"""The flow of projects/dogs_vs_cats: the test accuracy of the best of nine trials, and what sharing features saves.

    MODELYARD_DATA=... PYTHON benchmarks/dogs_vs_cats.py [--without 2] [--folder SCRATCH]

PYTHON has what projects/dogs_vs_cats/classifier/requirements_train.txt asks for, and PyYAML. A step is a process, as in
a flow. Of the nine trials that make the features each for itself only the first `--without` are run; the others are
counted as long as the mean of these. Without MODELYARD_DATA the pictures are synthetic, and it says so.
"""

import argparse
import itertools
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from processes import run_benchmark, run_well

ROOT = Path(__file__).parents[1]
RATES, SIZES = (0.001, 0.005, 0.01), (256, 512, 1024)
FOLDERS = ("images", "pictures", "features", "worst", "samples")
STEP = """
import json, sys
from importlib import import_module
from types import SimpleNamespace
module, function, payload = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = getattr(import_module("dogs_vs_cats.classifier." + module), function)(SimpleNamespace(payload=payload))
print(json.dumps(found))
"""


class Flow:
    """The steps, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'projects'}"}

    def make_data(self) -> None:
        """Get the pictures."""
        script = ROOT / "projects" / "dogs_vs_cats" / "make_data.py"
        run_well([sys.executable, "-P", script, self.folder / "data"], environ=self.environ)

    def run(self, step: str, *, model: str = "model", **train: Any) -> tuple[dict[str, Any], float]:
        """Run a step; its result, and how long it took."""
        places = {name: str(self.folder / name) for name in FOLDERS} | {"model": str(self.folder / model)}
        places |= {name: str(self.folder / f"{name}.json") for name in ("metrics", "confusion")}
        payload = {"params": self._params(train), "inputs": {"data": str(self.folder / "data"), **places}}
        payload["outputs"] = places
        module, _, function = step.partition(":")
        command = [sys.executable, "-P", "-c", STEP, module, function or module, json.dumps(payload)]
        started = time.monotonic()
        printed = run_well(command, environ=self.environ)
        return json.loads(printed.splitlines()[-1]), time.monotonic() - started

    def _params(self, train: dict[str, Any]) -> dict[str, Any]:
        import yaml

        params = yaml.safe_load((ROOT / "projects" / "dogs_vs_cats" / "config-default.yaml").read_text())
        return {**params, "train": params["train"] | train}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", type=int, default=2, help="trials that make the features for themselves (1 to 9)")
    parser.add_argument("--folder", type=Path, help="work here, and keep it")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        measure(Flow(options.folder or Path(scratch)), count=options.without)


def measure(flow: Flow, *, count: int) -> None:
    """Run the flow, with features shared and not."""
    flow.make_data()
    flow.run("download")
    flow.run("prep")
    trials = [{"lr": lr, "layer_size": size} for lr, size in itertools.product(RATES, SIZES)]
    shared = flow.run("features")[1]
    found = []
    for number, trial in enumerate(trials):
        result, took = flow.run("train:train_step", model=f"model-{number}", **trial)
        found.append(result["metrics"]["validation_accuracy"])
        shared += took
    own = sum(flow.run("features")[1] + flow.run("train:train_step", **trial)[1] for trial in trials[:count])
    without = own / count * len(trials)
    best = max(range(len(trials)), key=lambda number: (found[number], -number))
    tested = flow.run("evaluate", model=f"model-{best}")[0]["metrics"]
    print(f"best of {len(trials)} by validation accuracy {found[best]:.4f}: {trials[best]}")
    print(f"test accuracy {tested['test_accuracy']:.4f} on {tested['test_pictures']} pictures")
    print(f"nine trials with shared features {shared:.1f} s, without {without:.1f} s ({count} of them run): ", end="")
    print(f"{shared / without:.3f} of it")


if __name__ == "__main__":
    run_benchmark(main)
