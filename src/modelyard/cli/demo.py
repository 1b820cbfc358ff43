"""`modelyard demo`."""

from typing import TYPE_CHECKING

import click

from modelyard.cli.console import Console, print_json, print_table
from modelyard.cli.options import (
    engine_option,
    host_option,
    json_option,
    limits_options,
    pass_settings,
    port_option,
    shared_memory_option,
)
from modelyard.cli.serving import shorten
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.commands.building import Limits


@click.command("demo")
@click.argument("project", default="finance_income_prediction")
@host_option
@port_option
@shared_memory_option
@limits_options
@engine_option
@json_option
@pass_settings
def demo_command(
    settings: Settings, project: str, host: str, port: int, limits: "Limits", engine: str | None, as_json: bool
) -> None:
    """Get data, train every model of PROJECT, build one daemon, send it the test instances, stop it.

    What has not changed since the last time is reused.
    """
    from modelyard.commands.demo import run_demo
    from modelyard.commands.subject import find_project

    project = find_project(settings.workspace, project, start=settings.directory)
    opened = settings.open_engine(engine, quiet=as_json)
    console = Console(verbose=settings.verbose)
    rows = run_demo(settings.workspace, project, opened, console, host=host, port=port, limits=limits)
    if as_json:
        print_json([{**vars(row.answer), "accuracy": row.accuracy, "synthetic": row.is_synthetic} for row in rows])
        return
    click.echo()
    print_table(
        ["model", "accuracy on held-out data", "route", "latency", "answer"],
        [
            [
                row.answer.model,
                ("-" if row.accuracy is None else f"{row.accuracy:.4f}")
                + (" (synthetic data)" if row.is_synthetic else ""),
                f"/{row.answer.route}",
                f"{row.answer.seconds * 1000:.1f} ms",
                shorten(row.answer.body),
            ]
            for row in rows
        ],
    )
