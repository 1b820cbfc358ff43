"""What a flow asks of an engine, and what is read of one before anything runs."""

from typing import ClassVar

import pytest

from modelyard.commands.flow_request import FlowRequest
from modelyard.commands.flowing import run_flow
from modelyard.errors import EngineError
from tests.unit.commands.fakes import RecordingReporter

FILES = {
    "projects/pictures/flow.yaml": "steps:\n  a: {run: 'train:fit'}\n",
    "projects/pictures/net/.s2i/environment": "TRAIN_MODULE=pictures.net.train\nROUTES=n:pictures.net.predict:run\n",
    "projects/pictures/net/train.py": "def train(msg): ...\ndef fit(msg): ...\n",
    "projects/pictures/net/predict.py": "def run(msg): ...\n",
    "projects/pictures/net/test/test_instances.json": '{"instances": [1]}\n',
}


class Registry:
    """An engine that keeps images and runs nothing, as `oci` is one."""

    name = "oci"
    lacks: ClassVar = {"runner": "runs nothing: it has images in registries alone"}

    def build(self, context, *, tag, on_output): ...

    def target(self, context): ...


def test_an_engine_that_does_not_run_is_refused_before_anything_runs(make_workspace):
    workspace = make_workspace(FILES)
    project = workspace.projects_root / "pictures"
    request = FlowRequest(workspace=workspace, project=project)
    with pytest.raises(EngineError, match="the engine oci runs nothing") as raised:
        run_flow(request, Registry(), RecordingReporter())
    assert "--engine local" in str(raised.value)
    assert not (project / "runs").exists()


def test_commands_need_no_engine(make_workspace):
    workspace = make_workspace({**FILES, "projects/pictures/flow.yaml": "steps:\n  a: {command: echo hello}\n"})
    request = FlowRequest(workspace=workspace, project=workspace.projects_root / "pictures", environ={"PATH": "/bin"})
    run = run_flow(request, Registry(), RecordingReporter())
    assert run["steps"]["a"]["state"] == "succeeded"
    log = workspace.projects_root / "pictures/runs" / run["id"] / "a/log"
    assert log.read_text() == "hello\n"
