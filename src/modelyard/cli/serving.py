"""`modelyard serve` and `test`."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import Console, cut, print_json, print_table
from modelyard.cli.options import (
    directory_argument,
    engine_option,
    host_option,
    json_option,
    locked_option,
    parse_variables,
    pass_settings,
    port_option,
    variables_option,
    variant_option,
)
from modelyard.cli.settings import Settings
from modelyard.errors import RunError, WorkspaceError

if TYPE_CHECKING:
    from modelyard.pipeline.subject import Subject

_ANSWER_WIDTH = 80


@click.command("serve")
@directory_argument
@click.option("--tag", help="The image's tag. Default: <CONTAINER_NAME>-predict.")
@click.option("--name", help="The container's name. Default: CONTAINER_NAME of the Makefile.")
@click.option("--model-name", help="The binary a single model loads. Default: MODEL_NAME of the Makefile.")
@click.option("--pull", metavar="URL", help="Get the model from this path or address first: s3://bucket/folder/name.")
@click.option("--foreground", is_flag=True, help="Stay, show the log, and stop the daemon on Ctrl-C.")
@click.option("--watch", "watches", is_flag=True, help="Stay, and build and load again what you save, until Ctrl-C.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait until every model has loaded.")
@variables_option
@host_option
@port_option
@locked_option
@variant_option
@engine_option
@pass_settings
def serve_command(
    settings: Settings,
    directory: str,
    tag: str | None,
    name: str | None,
    model_name: str | None,
    pull: str | None,
    foreground: bool,
    watches: bool,
    timeout: float,
    variables: tuple[str, ...],
    host: str,
    port: int,
    locked: bool,
    variant: str,
    engine: str | None,
) -> None:
    """Build and start the daemon of DIRECTORY, a model directory or an all/, and return when it is ready."""
    from modelyard.pipeline.building import BuildRequest, Limits
    from modelyard.pipeline.remote import pull_model
    from modelyard.pipeline.serving import ServeRequest, serve
    from modelyard.pipeline.subject import find_subject, models_of
    from modelyard.workspace import ModelDirectory

    console = Console(verbose=settings.verbose)
    subject = find_subject(settings.workspace, settings.path(directory))
    if pull is not None:
        if not isinstance(subject, ModelDirectory):
            raise click.UsageError("--pull gets one model, but an all/ serves many")
        model_name = pull_model(pull, subject.path.parent / "models", console)
    build = BuildRequest(
        workspace=settings.workspace,
        subject=subject,
        kind="predict",
        tag=tag,
        variant=variant,
        limits=Limits(locked=locked),
    )
    request = ServeRequest(
        build=build,
        host=host,
        port=port,
        name=name,
        model_name=model_name,
        timeout=timeout,
        environment=parse_variables(variables),
    )
    opened = settings.open_engine(engine)
    container = serve(request, opened, console)
    for model in models_of(subject):
        for route in model.served_routes:
            click.echo(f"POST {request.endpoint}/{route.name}")
    if watches:
        from modelyard.pipeline.watching import watch

        try:
            watch(request, opened, console, pause=time.sleep)
        finally:
            opened.stop(container.name)
    if not foreground:
        return
    try:
        for line in opened.logs(container.name, follow=True):
            click.echo(line)
    finally:
        ended = opened.stop(container.name)
    if ended.exit_code:
        raise RunError(f"{container.name} exited with {ended.exit_code}", hint="the log stands above")


@click.command("test")
@directory_argument
@host_option
@port_option
@click.option(
    "--parity", is_flag=True, help="Compare the bare functions, the single images and the daemon of all/ instead."
)
@click.option("--tolerance", default=1e-6, show_default=True, help="What numbers may differ by, with --parity.")
@variant_option
@engine_option
@json_option
@pass_settings
def test_command(
    settings: Settings,
    directory: str,
    host: str,
    port: int,
    parity: bool,
    tolerance: float,
    variant: str,
    engine: str | None,
    as_json: bool,
) -> None:
    """Send the test instances of DIRECTORY, a model directory or an all/, to the daemon that serves it.

    With --parity, send them through the bare function in the model's own environment, through its single image and
    through the daemon of all/, each built and started for it, and fail on the first difference.
    """
    from modelyard.pipeline.endpoint import Endpoint, send_instances
    from modelyard.pipeline.subject import find_subject, models_of

    subject = find_subject(settings.workspace, settings.path(directory))
    models = models_of(subject)
    if not models:
        raise WorkspaceError(f"{subject.path}: no model directory to test", hint="name one in MODEL_DIRS")
    if parity:
        test_parity(settings, subject, tolerance=tolerance, variant=variant, engine=engine, as_json=as_json)
        return
    answers = list(send_instances(Endpoint(host=host, port=port), models))
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


def test_parity(
    settings: Settings, subject: "Subject", *, tolerance: float, variant: str, engine: str | None, as_json: bool
) -> None:
    """Compare every way of serving a subject's models, print how each did, and fail where one differs."""
    from modelyard.pipeline.parity import ParityRequest, check_parity, find_combined_of
    from modelyard.pipeline.subject import models_of

    request = ParityRequest(
        workspace=settings.workspace,
        models=models_of(subject),
        combined=find_combined_of(settings.workspace, subject),
        variant=variant,
        tolerance=tolerance,
    )
    opened = settings.open_engine(engine, quiet=as_json)
    results = list(check_parity(request, opened, Console(verbose=settings.verbose)))
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
