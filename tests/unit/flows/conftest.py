"""A project with a flow."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from modelyard.flows.definition import Flow, read_flow
from tests.conftest import write_files

MakeFlow = Callable[..., Flow]
FLOW = """\
steps:
  train:
    run: train:fit
    params: [train]
    inputs: {index: prep.index}
    outputs: {model: model}
    publish: {model: models}
  prep:
    run: prep:prep
    params: [data.train_pct]
    inputs: {table: data/table.csv}
    outputs: {index: index.csv}
    retries: 2
    timeout: 1.5m
  count:
    command: wc -l {inputs.index}
    inputs: {index: prep.index}
"""
CONFIG = "data:\n  train_pct: 0.6\n  val_pct: 0.4\n  name: cats\ntrain:\n  lr: [0.1, 0.2]\n  epochs: 3\n  fast: false\n"


@pytest.fixture
def make_flow(tmp_path: Path) -> MakeFlow:
    """Write a project's files and read its flow."""

    def make(flow: str = FLOW, config: str = CONFIG, files: Mapping[str, str] | None = None) -> Flow:
        project = tmp_path / "pictures"
        write_files(
            project, {"flow.yaml": flow, "config-default.yaml": config, "data/table.csv": "a\n", **(files or {})}
        )
        return read_flow(project)

    return make
