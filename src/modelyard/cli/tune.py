"""`modelyard tune`: search the parameters of a step of a flow."""

from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.flow import RunOptions, project_argument, run_request, set_option
from modelyard.cli.options import engine_option, json_option, limits_options, pass_settings, variant_option
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.commands.flow_request import FlowRequest


@click.command("tune")
@project_argument
@click.argument("step", required=False)
@click.option(
    "--over", multiple=True, metavar="GROUP.NAME=VALUES", help="0.1,0.2 or 0.1..0.9; log:0.001..1, whole:1..9."
)
@click.option("--metric", help="One that the step returns, on validation data.")
@click.option("--direction", type=click.Choice(["maximum", "minimum"]), help="Which metric is best. Default: maximum.")
@click.option("--method", type=click.Choice(["grid", "random", "optuna"]), help="Default: grid; random with a range.")
@click.option("--trials", type=click.IntRange(1), help="How many.")
@click.option("--parallel", type=click.IntRange(1), help="How many side by side.")
@click.option("--seed", type=click.IntRange(0), help="Of random and optuna.")
@click.option("--sampler", type=click.Choice(["tpe", "random", "gp", "cmaes", "qmc"]), help="Of optuna. Default: tpe.")
@click.option(
    "--pruner",
    type=click.Choice(["none", "median", "hyperband", "successive_halving"]),
    help="Of optuna. Default: none.",
)
@set_option
@limits_options
@variant_option
@engine_option
@json_option
@pass_settings
def tune_command(settings: Settings, /, engine: str | None, as_json: bool, **options: Any) -> None:
    """Run a step of a project's flow as trials, with what it needs before, and publish the best.

    PROJECT is a project's folder or name. STEP: default the one that has a search; what is typed stands over what its
    search says.
    """
    run_request(settings, _ask(settings, **options), engine, as_json=as_json)


def _ask(
    settings: Settings, *, project: str, step: str | None, over: tuple[str, ...], sets: tuple[str, ...], **options: Any
) -> "FlowRequest":
    from dataclasses import replace

    from modelyard.commands.flow_tuning import plan_search
    from modelyard.flows.definition import read_flow

    shared = {name: options.pop(name) for name in ("variant", "limits")}
    request = RunOptions(project=project, sets=sets, **shared).ask(settings)
    name, search = plan_search(read_flow(request.project), step, over, options)
    return replace(request, only=name, search=search)
