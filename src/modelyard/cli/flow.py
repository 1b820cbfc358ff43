"""`modelyard flow`, also called `pipeline`: run what has changed of a project's flow."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import Console, print_json, print_table
from modelyard.cli.options import engine_option, json_option, limits_options, pass_settings, variant_option
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.commands.building import Limits
    from modelyard.commands.flow_request import FlowRequest
    from modelyard.flows.definition import Flow

project_argument = click.argument("project", default=".", type=click.Path())
set_option = click.option(
    "--set", "sets", multiple=True, metavar="GROUP.NAME=VALUE", help="A parameter, over config.yaml."
)
force_option = click.option("--force", "forced", multiple=True, metavar="STEP", help="Run this step in any case.")


@click.group("flow")
def flow_command() -> None:
    """Run the steps of a project's flow.yaml that something has changed for.

    PROJECT is a project's folder or name; default the current folder.
    """


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What was typed behind `modelyard flow run`."""

    project: str
    sets: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    only: str | None = None
    jobs: int | None = None
    variant: str = "cpu"
    limits: "Limits | None" = None

    def ask(self, settings: Settings) -> "FlowRequest":
        """What the command asks for."""
        from modelyard.commands.building import Limits
        from modelyard.commands.flow_request import FlowRequest, find_flow_project

        return FlowRequest(
            workspace=settings.workspace,
            project=find_flow_project(settings.workspace, settings.locate(self.project)),
            sets=self.sets,
            forced=self.forced,
            only=self.only,
            jobs=self.jobs,
            variant=self.variant,
            limits=self.limits or Limits(),
            environ=settings.environ,
        )


@flow_command.command("run")
@project_argument
@set_option
@force_option
@click.option("--only", metavar="STEP", help="Run this step, and what it needs.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Steps side by side. Default: the machine's cores.")
@limits_options
@variant_option
@engine_option
@json_option
@pass_settings
def run_command(settings: Settings, /, engine: str | None, as_json: bool, **options: Any) -> None:
    """Run what has changed; say why of each step, and what is reused."""
    request = RunOptions(**options).ask(settings)
    run_request(settings, request, engine, as_json=as_json)


@flow_command.command("status")
@project_argument
@json_option
@pass_settings
def status_command(settings: Settings, /, project: str, as_json: bool) -> None:
    """Say of each step how it went the last time, and whether it is up to date."""
    from modelyard.commands.flow_request import prepare
    from modelyard.commands.flow_status import describe_steps

    prepared = prepare(RunOptions(project=project).ask(settings))
    steps = describe_steps(prepared)
    prepared.digests.save()
    if as_json:
        print_json(steps)
        return
    rows = [[step["step"], step["state"], step["run"] or "", "; ".join(step["why"])] for step in steps]
    print_table(["step", "last", "made by run", "to do"], rows)


@flow_command.command("plan")
@project_argument
@set_option
@force_option
@click.option("--only", metavar="STEP", help="Plan this step, and what it needs.")
@variant_option
@json_option
@pass_settings
def plan_command(settings: Settings, /, as_json: bool, **options: Any) -> None:
    """Say which steps would run, and why; start no engine."""
    from modelyard.commands.flow_request import prepare

    prepared = prepare(RunOptions(**options).ask(settings))
    decisions = prepared.planner.plan()
    prepared.digests.save()
    if as_json:
        print_json([{"step": each.step.name, "action": each.action, "why": list(each.why)} for each in decisions])
        return
    words = {"run": "run", "reuse": "reuse", "depends": "perhaps"}
    print_table(["step", "", "why"], [[each.step.name, words[each.action], "; ".join(each.why)] for each in decisions])


@flow_command.command("show")
@click.argument("run", required=False)
@click.option("-p", "--project", default=".", metavar="PROJECT", help="A project's folder or name.")
@json_option
@pass_settings
def show_command(settings: Settings, /, run: str | None, project: str, as_json: bool) -> None:
    """Show a run: its steps, trials and metrics. RUN: an id, or its start or end; default the last one."""
    from modelyard.cli.runs import find_records, show_run

    show_run(find_records(settings, project), run, as_json=as_json)


@flow_command.command("resume")
@project_argument
@engine_option
@json_option
@pass_settings
def resume_command(settings: Settings, /, project: str, engine: str | None, as_json: bool) -> None:
    """Go on with the last run, with the options that it had: what it has finished is not run again."""
    from modelyard.commands.flow_resume import find_options

    request = RunOptions(project=project).ask(settings)
    run_request(settings, find_options(request), engine, as_json=as_json)


@flow_command.command("clean")
@project_argument
@click.option("--step", "steps", multiple=True, metavar="STEP", help="Forget this step alone, and its trials.")
@pass_settings
def clean_command(settings: Settings, /, project: str, steps: tuple[str, ...]) -> None:
    """Forget what came of steps, so that they run again; the records of runs stay."""
    from modelyard.flows.definition import read_flow
    from modelyard.flows.pruning import forget
    from modelyard.flows.records import Records
    from modelyard.flows.run_lock import hold_lock

    flow = read_flow(RunOptions(project=project).ask(settings).project)
    names = [flow.step(name, place="--step").name for name in steps] or list(flow.steps)
    with hold_lock(flow.runs, what="flow clean"):
        count = forget(Records(flow.runs), names)
    click.echo(f"forgot {count} results of {', '.join(names)}")


@flow_command.command("graph")
@project_argument
@click.option("--form", type=click.Choice(["text", "mermaid", "dot"]), default="text", show_default=True, help="How.")
@pass_settings
def graph_command(settings: Settings, /, project: str, form: str) -> None:
    """Draw which step takes what from which, and which are up to date."""
    from modelyard.commands.flow_request import prepare
    from modelyard.flows.drawing import FORMS

    prepared = prepare(RunOptions(project=project).ask(settings))
    words = {"run": "to run", "reuse": "up to date", "depends": "depends"}
    states = {each.step.name: words[each.action] for each in prepared.planner.plan()}
    click.echo(FORMS[form](prepared.flow, states))


@flow_command.group("export")
def export_command() -> None:
    """Write the flow for something else that starts it."""


schedule_option = click.option("--schedule", metavar="CRON", help='Five fields: "0 3 * * *". Default: of flow.yaml.')


def _flow_of(settings: Settings, project: str) -> "Flow":
    from modelyard.flows.definition import read_flow

    return read_flow(RunOptions(project=project).ask(settings).project)


@export_command.command("cron")
@project_argument
@schedule_option
@pass_settings
def cron_command(settings: Settings, /, project: str, schedule: str | None) -> None:
    """Print a line for a crontab."""
    from modelyard.commands.flow_export import export_cron

    click.echo(export_cron(_flow_of(settings, project), settings.workspace.root, schedule=schedule), nl=False)


@export_command.command("github")
@project_argument
@schedule_option
@pass_settings
def github_command(settings: Settings, /, project: str, schedule: str | None) -> None:
    """Print a workflow for .github/workflows/."""
    from modelyard.commands.flow_export import export_github

    click.echo(export_github(_flow_of(settings, project), settings.workspace.root, schedule=schedule), nl=False)


@export_command.command("kfp")
@project_argument
@set_option
@click.option(
    "--image", "images", multiple=True, metavar="MODEL=REF", help="HOST/NAME@sha256:...; `command=` for these."
)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="The pipeline: flow.yaml of kfp.")
@pass_settings
def kfp_command(
    settings: Settings, /, project: str, sets: tuple[str, ...], images: tuple[str, ...], output: str
) -> None:
    """Compile a pipeline of Kubeflow Pipelines, by its own compiler."""
    from modelyard.commands.flow_kfp import export_kfp
    from modelyard.commands.flow_request import prepare

    prepared = prepare(RunOptions(project=project, sets=sets).ask(settings))
    count = export_kfp(prepared, dict(parse_image(text) for text in images), settings.path(output))
    click.echo(f"wrote {output}: {count} components")


def run_request(settings: Settings, request: "FlowRequest", engine: str | None, *, as_json: bool) -> None:
    """Run a flow and print its record."""
    from modelyard.commands.flowing import run_flow

    opened = settings.open_engine(engine, quiet=as_json)
    run = run_flow(request, opened, Console(verbose=settings.verbose))
    if as_json:
        print_json(run)
        return
    if all(step["state"] == "reused" for step in run["steps"].values()):
        click.echo(f"run {run['id']}: nothing has changed, {len(run['steps'])} steps reused")
        return
    rows = [[name, step["state"], _seconds(step), _metrics(step)] for name, step in run["steps"].items()]
    print_table(["step", "", "took", "metrics"], rows, title=f"run {run['id']}")


def _seconds(step: dict[str, Any]) -> str:
    return "" if step["seconds"] is None else f"{step['seconds']:.1f} s"


def _metrics(step: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in step["metrics"].items() if value is not None)


def parse_image(text: str) -> tuple[str, str]:
    """A name and the image that stands for it."""
    from modelyard.errors import InputError

    name, equals, image = text.partition("=")
    if not (name and equals and image):
        raise InputError(f"--image {text}: it is none of the form MODEL=REF", hint="--image net=HOST/NAME@sha256:...")
    return name, image
