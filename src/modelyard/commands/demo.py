"""The demo: data, training, generation, one daemon, requests, and one table of it all."""

from dataclasses import dataclass

from modelyard.commands.building import BuildRequest, Limits
from modelyard.commands.data import has_data_script, prepare_data
from modelyard.commands.endpoint import Answer, send_instances
from modelyard.commands.generating import generate_all
from modelyard.commands.reporter import Reporter
from modelyard.commands.serving import ServeRequest, serve
from modelyard.commands.training import Trained, TrainRequest, train_model
from modelyard.engines.parts import require_runner
from modelyard.engines.ports import choose_port
from modelyard.engines.protocols import Engine
from modelyard.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class DemoRow:
    """One line of the table."""

    trained: Trained
    answer: Answer

    @property
    def accuracy(self) -> float | None:
        """Accuracy on held-out data, as the manifest has it."""
        return self.trained.metrics.get("accuracy")

    @property
    def is_synthetic(self) -> bool:
        """Whether the model was trained on made-up data."""
        return bool((self.trained.manifest or {}).get("synthetic"))


def run_demo(
    workspace: Workspace,
    project: str,
    engine: Engine,
    reporter: Reporter,
    *,
    host: str,
    port: int,
    limits: Limits,
) -> list[DemoRow]:
    """Do everything that `make data train-all generate predict-all test-all stop` does, and reuse what is unchanged."""
    runner = require_runner(engine)
    choose_port(host, port)  # one that is taken is said before the training, not after it
    folder = workspace.projects_root / project
    models = workspace.model_directories(project)
    if has_data_script(workspace, project):
        prepare_data(workspace, project, reporter)
    requests = [TrainRequest(workspace=workspace, model=model, reuse=True, limits=limits) for model in models]
    trained = {request.model.full_name: train_model(request, engine, reporter) for request in requests}
    for line in generate_all(workspace, folder, reporter=reporter):
        reporter.note(line)
    combined = workspace.combined_directory(folder)
    request = ServeRequest(
        build=BuildRequest(workspace=workspace, subject=combined, kind="predict", limits=limits),
        host=host,
        port=port,
        name=f"{project.replace('_', '-')}-demo",
    )
    container = serve(request, engine, reporter)
    try:
        with reporter.step("sending every model its test instances") as step:
            answers = list(send_instances(request.endpoint, combined.models))
            step.done(f"{len(answers)} routes answered")
    finally:
        with reporter.step("stopping the daemon") as step:
            stopped = runner.stop(container.name)
            step.done(f"the daemon has stopped, exit code {stopped.exit_code}")
    for answer in answers:
        answer.raise_for_status()
    return [DemoRow(trained=trained[answer.model], answer=answer) for answer in answers]
