"""`modelyard demo`."""

import click

from modelyard.cli.console import Console, print_json, print_table
from modelyard.cli.options import engine_option, host_option, json_option, pass_settings, port_option
from modelyard.cli.serving import shorten
from modelyard.cli.settings import Settings


@click.command("demo")
@click.argument("project", default="finance_income_prediction")
@host_option
@port_option
@engine_option
@json_option
@pass_settings
def demo_command(settings: Settings, project: str, host: str, port: int, engine: str | None, as_json: bool) -> None:
    """Get data, train every model of PROJECT, build one daemon, send it the test instances, stop it.

    What has not changed since the last time is reused.
    """
    from modelyard.pipeline.demo import run_demo

    opened = settings.open_engine(engine, quiet=as_json)
    rows = run_demo(settings.workspace, project, opened, Console(verbose=settings.verbose), host=host, port=port)
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
