"""The figures of flows: what the engine itself costs, what a run without a change costs, and others beside it.

    .venv/bin/python benchmarks/flows.py [--rounds 3] [--dvc DVC] [--kfp PYTHON] [--json]

- no change: `modelyard flow run` of three steps of which none is run, start of the interpreter included
- engine's cost a step: a chain of commands, less a run in which all are reused, less the bare commands; the same of
  functions on the engine `local`, less the image's own run script started by hand
- kill in trial 5 of 9: how many trials are run afterwards
- three steps, cold and without a change: the same three commands in modelyard, DVC (`--dvc`, its executable) and
  Kubeflow Pipelines' local runner (`--kfp`, the Python that has kfp), in environments of their own

The fastest of the rounds, and for the engine's cost the processor's time of all processes as well, which a busy
machine does not change; compare the ratios.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from processes import run_benchmark, run_well, start

from modelyard.codegen.scaffold import init_workspace

MODELYARD = str(Path(sys.executable).with_name("modelyard"))
CHAIN = 10
WORK = """\
import sys
kind, *paths = sys.argv[1:]
if kind == "make":
    open(paths[0], "w").write("1\\n" * 1000)
elif kind == "double":
    open(paths[1], "w").write(open(paths[0]).read() * 2)
else:
    open(paths[1], "w").write(str(len(open(paths[0]).read().split())))
"""
FLOW = """\
steps:
  make: {command: "PYTHON work.py make {outputs.o}", outputs: {o: made.txt}}
  double: {command: "PYTHON work.py double {inputs.i} {outputs.o}", inputs: {i: make.o}, outputs: {o: double.txt}}
  count: {command: "PYTHON work.py count {inputs.i} {outputs.o}", inputs: {i: double.o}, outputs: {o: count.txt}}
"""
DVC = """\
stages:
  make: {cmd: PYTHON work.py make made.txt, deps: [work.py], outs: [made.txt]}
  double: {cmd: PYTHON work.py double made.txt double.txt, deps: [work.py, made.txt], outs: [double.txt]}
  count: {cmd: PYTHON work.py count double.txt count.txt, deps: [work.py, double.txt], outs: [count.txt]}
"""
KFP = """\
from kfp import dsl, local

@dsl.component
def make(o: dsl.Output[dsl.Artifact]):
    open(o.path, "w").write("1\\n" * 1000)

@dsl.component
def double(i: dsl.Input[dsl.Artifact], o: dsl.Output[dsl.Artifact]):
    open(o.path, "w").write(open(i.path).read() * 2)

@dsl.component
def count(i: dsl.Input[dsl.Artifact], o: dsl.Output[dsl.Artifact]):
    open(o.path, "w").write(str(len(open(i.path).read().split())))

@dsl.pipeline
def three():
    made = make()
    doubled = double(i=made.outputs["o"])
    count(i=doubled.outputs["o"])

local.init(runner=local.SubprocessRunner(use_venv=False))
three()
"""
FUNCTIONS = """\
import time
from pathlib import Path


def train(msg):
    return {}


def link(msg):
    for path in msg.payload["outputs"].values():
        Path(path).write_text(str(msg.payload["params"]))
    return {"metrics": {"score": 1.0}}


def trial(msg):
    with open("TRACE", "a") as trace:
        trace.write("1\\n")
    time.sleep(0.3)
    return {"metrics": {"score": msg.payload["params"]["train"]["lr"]}}
"""
SEARCH = """\
steps:
  train: {run: "train:trial", params: [train], search: {over: [train.lr], metric: score}}
"""


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dvc", help="DVC's executable")
    parser.add_argument("--kfp", help="a Python that has kfp")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-flows-") as folder:
        bench = Bench(Path(folder), rounds=options.rounds)
        for measure in (
            bench.measure_three_steps,
            bench.measure_costs,
            bench.measure_kill,
            lambda: bench.measure_dvc(options.dvc) if options.dvc else {"DVC": "not measured: no --dvc"},
            lambda: bench.measure_kfp(options.kfp) if options.kfp else {"kfp": "not measured: no --kfp"},
        ):
            figures = measure()
            lines = [f"{name:44} {figure}" for name, figure in figures.items()]
            print(json.dumps(figures) if options.json else "\n".join(lines), flush=True)


class Bench:
    """A workspace with one project, and the commands to measure on it."""

    def __init__(self, folder: Path, *, rounds: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self.project = init_workspace(folder / "workspace").projects_root / "p"
        self.environ = {**os.environ, "MODELYARD_HOME": str(folder / "home"), "MODELYARD_ENGINE": "local"}
        self.trace = folder / "trace"
        files = {
            "work.py": WORK,
            "m/.s2i/environment": "TRAIN_MODULE=p.m.train\nROUTES=m:p.m.predict:predict\n",
            "m/train.py": FUNCTIONS.replace("TRACE", str(self.trace)),
            "m/predict.py": "def predict(msg):\n    return {}\n",
            "m/test/test_instances.json": '{"instances": [1]}\n',
            "config-default.yaml": f"train:\n  lr: {[number / 10 for number in range(9)]}\n",
        }
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def time(self, *command: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> float:
        """The seconds that a command takes, which must succeed."""
        started = time.perf_counter()
        run_well(command, cwd=cwd or self.project, environ=environ or self.environ)
        return time.perf_counter() - started

    def repeat_both(self, measure: Callable[[], float]) -> tuple[float, float]:
        """The fastest of the rounds: seconds, and seconds of a processor."""
        walls, used = [], []
        for _ in range(self.rounds):
            before = _used()
            walls.append(measure())
            used.append(_used() - before)
        return min(walls), min(used)

    def repeat(self, measure: Callable[[], float]) -> float:
        """The fastest of the rounds."""
        return min(measure() for _ in range(self.rounds))

    def flow(self, text: str) -> None:
        """Write flow.yaml; what came of others is gone."""
        shutil.rmtree(self.project / "runs", ignore_errors=True)
        (self.project / "flow.yaml").write_text(text.replace("PYTHON", sys.executable))

    def cold(self) -> float:
        """A run of which nothing is known yet; images are built."""
        shutil.rmtree(self.project / "runs", ignore_errors=True)
        return self.time(MODELYARD, "flow", "run", "-j", "1")

    def unchanged(self) -> float:
        """A run in which nothing is run."""
        return self.time(MODELYARD, "flow", "run", "-j", "1")

    def measure_three_steps(self) -> dict[str, str]:
        """Cold, and without a change."""
        self.flow(FLOW)
        cold = self.repeat(self.cold)
        unchanged = self.repeat(self.unchanged)
        bare = self.repeat(lambda: self.time(sys.executable, "-c", "pass"))
        return {
            "modelyard: three steps, cold": f"{cold:.2f} s",
            "modelyard: three steps, no change": f"{unchanged:.2f} s ({unchanged / bare:.0f} x an empty Python)",
        }

    def measure_costs(self) -> dict[str, str]:
        """What the engine takes for a step, beside the bare command."""
        chain = "".join(f"  s{n}: {{command: 'PYTHON -c {n}'}}\n" for n in range(CHAIN))
        self.flow(f"steps:\n{chain}")
        wall, used = self._cost(lambda: self.time(sys.executable, "-c", "1"))
        links = "".join(f"  s{n}: {{run: 'train:link', outputs: {{o: o{n}}}, params: [train]}}\n" for n in range(CHAIN))
        self.flow(f"steps:\n{links}")
        self.cold()  # the image is built
        return {
            "engine's cost, command": f"{1000 * wall:.0f} ms a step, {1000 * used:.0f} ms of a processor",
            # A container's processes are no children of the command: what they use is not seen.
            "engine's cost, function on local": f"{1000 * self._cost(self._run_by_hand)[0]:.0f} ms a step",
        }

    def _cost(self, bare: Callable[[], float]) -> tuple[float, float]:
        """What a step of the chain takes more than what it runs does by itself: seconds, and those of a processor."""
        pairs = zip(*(self.repeat_both(each) for each in (self.cold, self.unchanged, bare)), strict=True)
        wall, used = ((ran - reused) / CHAIN - alone for ran, reused, alone in pairs)
        return wall, used

    def _run_by_hand(self) -> float:
        image = next(path for path in (self.folder / "home" / "images").iterdir() if not path.name.startswith("."))
        root = self.folder / "by-hand"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(image / "app", root)
        (root / "outputs").mkdir()
        payload = {"params": {}, "inputs": {}, "outputs": {"o": "outputs/o"}}
        environ = {
            **self.environ,
            "TRAIN": "1",
            "TRAIN_MODULE": "p.m.train",
            "TRAIN_FUNCTION": "link",
            "PAYLOAD": json.dumps(payload),
            "APP_ROOT": str(root),
            "MODELYARD_LIB": str(image / "lib"),
            "MODELYARD_ENVIRONMENTS": str(image / "environments"),
        }
        return self.time("bash", str(image / "s2i" / "run"), cwd=root, environ=environ)

    def measure_kill(self) -> dict[str, str]:
        """Kill the run in its fifth trial of nine, and count those that the next one runs."""
        self.flow(SEARCH)
        self.trace.write_text("")
        process = start([MODELYARD, "flow", "run"], cwd=self.project, environ=self.environ)
        while len(self.trace.read_text().split()) < 5 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = len(self.trace.read_text().split())
        self.unchanged()
        return {"kill in trial 5 of 9: trials run afterwards": str(len(self.trace.read_text().split()) - before)}

    def measure_dvc(self, dvc: str) -> dict[str, str]:
        """The same three commands as stages of DVC."""
        folder = self._peer("dvc", {"work.py": WORK, "dvc.yaml": DVC.replace("PYTHON", sys.executable)})
        environ = {**os.environ, "DVC_NO_ANALYTICS": "true"}
        self.time(dvc, "init", "--no-scm", cwd=folder, environ=environ)
        first = self.time(dvc, "repro", cwd=folder, environ=environ)
        again = self.repeat(lambda: self.time(dvc, "repro", cwd=folder, environ=environ))
        return {"DVC: three steps, cold": f"{first:.2f} s", "DVC: three steps, no change": f"{again:.2f} s"}

    def measure_kfp(self, python: str) -> dict[str, str]:
        """The same three steps by Kubeflow Pipelines' local runner, which has no cache."""
        folder = self._peer("kfp", {"three.py": KFP})
        first = self.time(python, "three.py", cwd=folder, environ=dict(os.environ))
        again = self.repeat(lambda: self.time(python, "three.py", cwd=folder, environ=dict(os.environ)))
        return {"kfp local: three steps, cold": f"{first:.2f} s", "kfp local: three steps, again": f"{again:.2f} s"}

    def _peer(self, name: str, files: Mapping[str, str]) -> Path:
        folder = self.folder / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
        return folder


def _used() -> float:
    """The processor's time of this process's children that have ended, theirs among it."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    run_benchmark(main)
