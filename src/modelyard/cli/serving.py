"""`modelyard serve` and `test`."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from modelyard.cli.console import Console, cut, print_json, print_table
from modelyard.cli.options import (
    directory_argument,
    dry_run_option,
    engine_option,
    host_option,
    json_option,
    limits_options,
    not_negative,
    parse_variables,
    pass_settings,
    port_option,
    shared_memory_option,
    variables_option,
    variant_option,
)
from modelyard.cli.settings import Settings
from modelyard.errors import RunError, WorkspaceError

if TYPE_CHECKING:
    from modelyard.commands.building import Limits
    from modelyard.commands.endpoint import Endpoint
    from modelyard.commands.parity import ParityRequest
    from modelyard.commands.serving import ServeRequest
    from modelyard.commands.subject import Subject
    from modelyard.engines.protocols import ContainerRunner
    from modelyard.workspace import ModelDirectory

_ANSWER_WIDTH = 80


@click.command("serve")
@directory_argument
@click.option("--tag", help="The image's tag. Default: <CONTAINER_NAME>-predict.")
@click.option("--name", help="The container's name. Default: CONTAINER_NAME of the Makefile.")
@click.option("--model-name", help="The binary a single model loads. Default: MODEL_NAME of the Makefile.")
@click.option("--pull", metavar="URL", help="Get the model from this path or address first: s3://bucket/folder/name.")
@click.option("--foreground", is_flag=True, help="Stay, show the log, and stop the daemon on Ctrl-C.")
@click.option("--watch", "watches", is_flag=True, help="Stay, and build and load again what you save, until Ctrl-C.")
@click.option(
    "--timeout",
    type=not_negative,
    default=120.0,
    show_default=True,
    help="Seconds to wait until every model has loaded.",
)
@variables_option
@host_option
@port_option
@shared_memory_option
@limits_options
@variant_option
@engine_option
@dry_run_option
@pass_settings
def serve_command(settings: Settings, /, **options: Any) -> None:
    """Build and start the daemon of DIRECTORY, a model directory or an all/, and return when it is ready."""
    from modelyard.commands.serving import describe_serve, serve
    from modelyard.commands.subject import find_subject, models_of
    from modelyard.engines.parts import require_runner

    chosen = ServeOptions(**options)
    console = Console(verbose=settings.verbose)
    subject = find_subject(settings.workspace, settings.locate(chosen.directory))
    request = chosen.ask(settings, subject, model_name=chosen.pull_model(subject, console))
    if chosen.dry_run:
        click.echo("\n".join([*([f"get {chosen.pull}"] if chosen.pull else []), *describe_serve(request)]))
        return
    engine = settings.open_engine(chosen.engine)
    runner = require_runner(engine)
    container = serve(request, engine, console)
    for model in models_of(subject):
        for route in model.served_routes:
            click.echo(f"POST {request.endpoint}/{route.name}")
    if chosen.watches:
        from modelyard.commands.watching import watch

        try:
            watch(request, engine, console, pause=time.sleep)
        finally:
            runner.stop(container.name)
    if chosen.foreground:
        _follow(runner, container.name)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What was typed behind `modelyard serve`."""

    directory: str
    tag: str | None
    name: str | None
    model_name: str | None
    pull: str | None
    foreground: bool
    watches: bool
    timeout: float
    variables: tuple[str, ...]
    host: str
    port: int
    limits: "Limits"
    variant: str
    engine: str | None
    dry_run: bool

    def pull_model(self, subject: "Subject", console: Console) -> str | None:
        """The name of the model to serve; it is fetched first, where it is to come from elsewhere."""
        from modelyard.commands.remote import model_name_of, pull_model
        from modelyard.workspace import ModelDirectory

        if self.pull is None:
            return self.model_name
        if not isinstance(subject, ModelDirectory):
            raise click.UsageError("--pull gets one model, but an all/ serves many")
        folder = subject.path.parent / "models"
        return model_name_of(self.pull) if self.dry_run else pull_model(self.pull, folder, console)

    def ask(self, settings: Settings, subject: "Subject", *, model_name: str | None) -> "ServeRequest":
        """What the command asks for."""
        from modelyard.commands.building import BuildRequest
        from modelyard.commands.serving import ServeRequest

        build = BuildRequest(
            workspace=settings.workspace,
            subject=subject,
            kind="predict",
            tag=self.tag,
            variant=self.variant,
            limits=self.limits,
        )
        loads_soon = {"PRELOAD": "always"} if self.watches and "PRELOAD" not in subject.environment else {}
        return ServeRequest(
            build=build,
            host=self.host,
            port=self.port,
            name=self.name,
            model_name=model_name,
            timeout=self.timeout,
            environment={**loads_soon, **parse_variables(self.variables)},
        )


def _follow(runner: "ContainerRunner", name: str) -> None:
    """Show a container's log until it ends or Ctrl-C stops it; raise RunError where it has failed."""
    try:
        for line in runner.logs(name, follow=True):
            click.echo(line)
    finally:
        ended = runner.stop(name)
    if ended.exit_code:
        raise RunError(f"{name} exited with {ended.exit_code}", hint="the log stands above")


@click.command("test")
@directory_argument
@host_option
@port_option
@click.option("--tolerance", type=not_negative, default=1e-6, show_default=True, help="What numbers may differ by.")
@shared_memory_option
@limits_options
@variant_option
@engine_option
@json_option
@pass_settings
@click.pass_context
def test_command(
    context: click.Context,
    settings: Settings,
    directory: str,
    host: str,
    port: int,
    tolerance: float,
    limits: "Limits",
    variant: str,
    engine: str | None,
    as_json: bool,
) -> None:
    """Send the test instances of DIRECTORY, a model directory or an all/, every way, and fail where answers differ.

    They go through the bare function in the model's own environment, through its single image and through the daemon
    of all/, each built and started for it. With --host or --port, they go to the daemon that serves there, and no
    other way.
    """
    from modelyard.commands.endpoint import Endpoint
    from modelyard.commands.parity import ParityRequest, find_combined_of
    from modelyard.commands.subject import find_subject, models_of

    subject = find_subject(settings.workspace, settings.locate(directory))
    models = models_of(subject)
    if not models:
        raise WorkspaceError(f"{subject.path}: no model directory to test", hint="name one in MODEL_DIRS")
    if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("host", "port")):
        test_endpoint(Endpoint(host=host, port=port), models, as_json=as_json)
        return
    request = ParityRequest(
        workspace=settings.workspace,
        models=models,
        combined=find_combined_of(settings.workspace, subject),
        variant=variant,
        tolerance=tolerance,
        limits=limits,
    )
    test_parity(settings, request, engine=engine, as_json=as_json)


def test_endpoint(endpoint: "Endpoint", models: "Sequence[ModelDirectory]", *, as_json: bool) -> None:
    """Send models' test instances to a daemon, print the answers, and fail unless all are 200."""
    from modelyard.commands.endpoint import send_instances

    answers = list(send_instances(endpoint, models))
    if as_json:
        print_json([vars(answer) for answer in answers])
    else:
        rows = [
            [
                answer.model,
                f"/{answer.route}",
                str(answer.status),
                f"{answer.seconds * 1000:.1f} ms",
                shorten(answer.body),
            ]
            for answer in answers
        ]
        print_table(["model", "route", "status", "latency", "answer"], rows)
    for answer in answers:
        answer.raise_for_status()


def test_parity(settings: Settings, request: "ParityRequest", *, engine: str | None, as_json: bool) -> None:
    """Compare every way of serving models, print how each did, and fail where one differs."""
    from modelyard.commands.parity import check_parity

    console = Console(verbose=settings.verbose)
    console.note("every way is built, started and compared; to ask a daemon that runs, name its --port")
    opened = settings.open_engine(engine, quiet=as_json)
    results = list(check_parity(request, opened, console))
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        verdicts = ["the same" if one.difference is None else f"differs at {one.difference.path}" for one in results]
        rows = [[one.model, f"/{one.route}", one.way, verdict] for one, verdict in zip(results, verdicts, strict=True)]
        print_table(["model", "route", "compared with the bare function", "answer"], rows)
    for result in results:
        result.raise_for_difference()


def shorten(value: object) -> str:
    """Write an answer as JSON, cut to what fits on a line."""
    return cut(json.dumps(value), _ANSWER_WIDTH)
