"""A project with a flow whose steps need no package, in a workspace of its own."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import write_files
from tests.integration.tiny_workspace import Tiny

ENVIRONMENT = "TRAIN_MODULE=pictures.net.train\nROUTES=net:pictures.net.predict:predict\n"
TRAIN = '''\
import json
import os
import time
from pathlib import Path


def train(msg):
    return {}


def fit(msg):
    """The nearer the learning rate is to 0.2, the better; `sleep` and `fail` ask for trouble."""
    params = msg.payload["params"]["train"]
    rows = Path(msg.payload["inputs"]["index"]).read_text().split()
    lr = params["lr"]
    if "FLOW_TRACE" in os.environ:
        with open(os.environ["FLOW_TRACE"], "a") as trace:
            trace.write(f"{len(rows)} {lr}\\n")
    for epoch in range(params["epochs"]):
        so_far = (1 - abs(lr - 0.2)) * (epoch + 1) / params["epochs"]
        print(json.dumps({"epoch": epoch, "val_accuracy": so_far}), flush=True)
        time.sleep(params["sleep"])
    if lr in params["fail"]:
        raise ValueError(f"{lr} diverges")
    score = float("nan") if lr in params["nan"] else 1 - abs(lr - 0.2)
    model = Path(msg.payload["outputs"]["model"])
    model.mkdir()
    (model / "net.bin").write_text(str(lr))
    (model / "net.json").write_text(json.dumps({"file": "net.bin"}))
    return {"metrics": {"val_accuracy": score, "rows": len(rows)}}
'''
PREP = """\
import time
from pathlib import Path


def prep(msg):
    time.sleep(msg.payload["params"]["data"]["sleep"])
    table = Path(msg.payload["inputs"]["table"]).read_text()
    Path(msg.payload["outputs"]["index"]).write_text(table.upper() * msg.payload["params"]["data"]["copies"])
    return {"metrics": {"rows": len(table.split())}}


def nothing(msg):
    return {"metrics": {}}
"""
FLOW = """\
steps:
  prep:
    run: prep:prep
    params: [data]
    inputs: {table: data/table.csv}
    outputs: {index: index.csv}
  train:
    run: train:fit
    params: [train]
    environment: [FLOW_*]
    inputs: {index: prep.index}
    outputs: {model: model}
    publish: {model: models}
    search: {over: [train.lr], metric: val_accuracy}
  count:
    command: wc -l {inputs.index}
    inputs: {index: prep.index}
"""
CONFIG = """\
data:
  copies: 1
  sleep: 0.0
train:
  lr: [0.1, 0.2, 0.3]
  epochs: 2
  sleep: 0.0
  fail: [99.0]
  nan: [98.0]
"""
FILES = {
    "net/.s2i/environment": ENVIRONMENT,
    "net/predict.py": "def predict(msg):\n    return {}\n",
    "net/train.py": TRAIN,
    "net/prep.py": PREP,
    "net/test/test_instances.json": '{"instances": [1]}\n',
    "flow.yaml": FLOW,
    "config-default.yaml": CONFIG,
    "data/table.csv": "a\nb\n",
}


@dataclass(frozen=True)
class FlowProject:
    """The project, and what its commands print."""

    tiny: Tiny
    path: Path

    def restore(self, kept: Path) -> None:
        """Put a copy of the project in its place."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(kept, self.path, symlinks=True)

    @classmethod
    def make(cls, tiny: Tiny, name: str = "pictures") -> "FlowProject":
        """Write it anew, in place of what was there."""
        path = tiny.workspace.projects_root / name
        shutil.rmtree(path, ignore_errors=True)
        write_files(path, FILES)
        return cls(tiny, path)

    def write(self, **files: str) -> None:
        """Write files: `flow_yaml`, `config_yaml`, or paths."""
        names = {"flow_yaml": "flow.yaml", "config_yaml": "config.yaml"}
        write_files(self.path, {names.get(name, name): text for name, text in files.items()})

    def run(self, *options: str) -> dict[str, Any]:
        """`flow run`, which must succeed; its record."""
        record: dict[str, Any] = json.loads(
            self.tiny.succeed("modelyard", "flow", "run", ".", "--json", *options, cwd=self.path)
        )
        return record

    def last_run(self) -> dict[str, Any]:
        """The record of the last run."""
        last = max(self.path.glob("runs/*/run.json"))
        record: dict[str, Any] = json.loads(last.read_text())
        return record

    def states(self, *options: str) -> dict[str, str]:
        """`flow run`; the state of each step."""
        return {name: step["state"] for name, step in self.run(*options)["steps"].items()}

    def fail(self, *command: str, code: int) -> str:
        """A command of the project that must fail; its standard error."""
        return self.tiny.fail("modelyard", *command, code=code, cwd=self.path)

    def plan(self, *options: str) -> dict[str, tuple[str, list[str]]]:
        """`flow plan`: what would be done with each step, and why."""
        listed = json.loads(self.tiny.succeed("modelyard", "flow", "plan", ".", "--json", *options, cwd=self.path))
        return {step["step"]: (step["action"], step["why"]) for step in listed}

    def trials(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """The trials of the step `train` of a run."""
        trials: list[dict[str, Any]] = json.loads((self.path / "runs" / run["id"] / "trials.json").read_text())[
            "steps"
        ]["train"]
        return trials
