"""`modelyard runs`: the records of a flow's runs."""

from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import format_size, print_json, print_table
from modelyard.cli.options import json_option, pass_settings
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.flows.records import Records

project_option = click.option(
    "-p", "--project", default=".", metavar="PROJECT", help="A project's folder or name. Default: the current folder."
)


@click.group("runs")
def runs_command() -> None:
    """Look at the runs of a project's flow.

    A run is named by its id, or the start or the end of it; `latest` is the last one.
    """


def find_records(settings: Settings, project: str) -> "Records":
    """The records of the project that is meant."""
    from modelyard.commands.flow_request import find_flow_project
    from modelyard.flows.records import Records

    return Records(find_flow_project(settings.workspace, settings.locate(project)) / "runs")


@runs_command.command("list")
@project_option
@click.option("-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@json_option
@pass_settings
def list_command(settings: Settings, project: str, number: int, as_json: bool) -> None:
    """List runs, newest first."""
    from modelyard.commands.flow_status import read_run

    records = find_records(settings, project)
    runs = [read_run(records, id) for id in reversed(records.ids()[-number:])]
    if as_json:
        print_json(runs)
        return
    rows = [[run["id"], run["state"], _took(run["seconds"]), _count(run), _sets(run), _metrics(run)] for run in runs]
    print_table(["run", "", "took", "steps", "set", "metrics"], rows)


@runs_command.command("show")
@click.argument("run", required=False)
@project_option
@json_option
@pass_settings
def show_command(settings: Settings, run: str | None, project: str, as_json: bool) -> None:
    """Show a run: its steps, trials and metrics. RUN: default the last one."""
    records = find_records(settings, project)
    show_run(records, run, as_json=as_json)


def show_run(records: "Records", text: str | None, *, as_json: bool) -> None:
    """Print a run."""
    from modelyard.commands.flow_status import read_run

    id = records.find(text)
    run, trials = read_run(records, id), records.read_trials(id)
    if as_json:
        print_json({**run, "trials": trials})
        return
    git = run["git"] or {}
    commit = f", commit {git['commit'][:12]}{' and changes' if git['dirty'] else ''}" if git else ""
    click.echo(f"run {id}: {run['state']}, {_took(run['seconds']) or 'no end'}, engine {run['engine']}{commit}")
    rows = [
        [name, step["state"], _took(step["seconds"]), _metrics({"steps": {name: step}}), "; ".join(step["why"])]
        for name, step in run["steps"].items()
    ]
    print_table(["step", "", "took", "metrics", "why"], rows)
    for name, listed in trials.items():
        metric = run["steps"][name].get("search", {}).get("metric", "metric")
        shown = [
            [
                f"{trial['number']}{' *' if trial['best'] else ''}",
                trial["state"],
                "  ".join(f"{key} {value}" for key, value in trial["params"].items()),
                "" if trial["metric"] is None else f"{trial['metric']:.4g}",
                _took(trial["seconds"]),
            ]
            for trial in listed
        ]
        print_table(["trial", "", "parameters", metric, "took"], shown, title=f"trials of {name}")
    for name, step in run["steps"].items():
        if step["error"]:
            click.echo(f"{name}: {step['error']}")


@runs_command.command("compare")
@click.argument("one")
@click.argument("other", default="latest")
@project_option
@json_option
@pass_settings
def compare_command(settings: Settings, one: str, other: str, project: str, as_json: bool) -> None:
    """Say what differs between two runs: parameters, commit, metrics and outputs."""
    from modelyard.flows.comparing import compare_runs

    records = find_records(settings, project)
    ids = [records.find(text) for text in (one, other)]
    found = compare_runs(*(records.read_run(id) for id in ids))
    if as_json:
        print_json([dict(zip(("of", "name", "one", "other"), each, strict=True)) for each in found])
        return
    if not found:
        click.echo(f"{ids[0]} and {ids[1]} do not differ")
        return
    print_table(["", "", *ids], [[of, name, str(first), str(second)] for of, name, first, second in found])


@runs_command.command("prune")
@project_option
@click.option("--keep", type=click.IntRange(0), default=10, show_default=True, help="How many runs stay.")
@pass_settings
def prune_command(settings: Settings, project: str, keep: int) -> None:
    """Remove all but the newest runs, and the artifacts that only they had."""
    from modelyard.flows.pruning import prune_runs
    from modelyard.flows.run_lock import hold_lock

    records = find_records(settings, project)
    with hold_lock(records.root, what="runs prune"):
        pruned = prune_runs(records, keep=keep)
    click.echo(f"removed {len(pruned.runs)} runs and {pruned.artifacts} artifacts: {format_size(pruned.freed)}")


@runs_command.command("ui")
@project_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port of this machine. Default: a free one.")
@pass_settings
def ui_command(settings: Settings, project: str, port: int) -> None:
    """Serve a page of the runs on this machine, until Ctrl-C: steps, logs, curves, trials, pictures, two side by side.

    It only reads, needs no network, and nobody else can reach it.
    """
    from modelyard.commands.run_pages import make_run_page
    from modelyard.pages.server import PageServer

    server = PageServer(make_run_page(find_records(settings, project)).answer, port=port)
    click.echo(server.address)
    try:
        server.serve()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _count(run: dict[str, Any]) -> str:
    states = [step["state"] for step in run["steps"].values()]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _sets(run: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in run["arguments"]["set"].items())


def _metrics(run: dict[str, Any]) -> str:
    numbers = {name: value for step in run["steps"].values() for name, value in step["metrics"].items()}
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items() if value is not None)
