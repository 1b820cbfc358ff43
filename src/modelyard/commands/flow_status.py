"""How the steps of a flow went the last time, and whether they are up to date."""

from graphlib import TopologicalSorter
from typing import Any

from modelyard.commands.flow_request import Prepared
from modelyard.flows.plan import Decision
from modelyard.flows.records import Records
from modelyard.flows.run_lock import is_locked


def describe_steps(prepared: Prepared) -> list[dict[str, Any]]:
    """Each step with the state that it had in the last run that came to it, and what is to do."""
    states = last_states(prepared.records)
    return [_describe(decision, states.get(decision.step.name)) for decision in prepared.planner.plan()]


def last_states(records: Records) -> dict[str, dict[str, Any]]:
    """The last record of each step, of runs that came to it."""
    found: dict[str, dict[str, Any]] = {}
    for id in reversed(records.ids()):
        run = read_run(records, id)
        for name, step in run["steps"].items():
            if step["state"] not in ("waiting", "skipped"):
                found.setdefault(name, {**step, "in": id})
    return found


def read_run(records: Records, id: str) -> dict[str, Any]:
    """The record of a run, its steps in order; of one that was killed it says so."""
    run = records.read_run(id)
    order = TopologicalSorter({name: step["needs"] for name, step in run["steps"].items()}).static_order()
    run["steps"] = {name: run["steps"][name] for name in order if name in run["steps"]}
    if run["state"] == "running" and not is_locked(records.root):
        steps = run["steps"].values()
        run["state"] = "interrupted"
        for step in steps:
            step["state"] = "interrupted" if step["state"] == "running" else step["state"]
    return run


def _describe(decision: Decision, last: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "step": decision.step.name,
        "state": last["state"] if last else "never",
        "run": last["made_by"] if last else None,
        "action": decision.action,
        "why": list(decision.why) if decision.action != "reuse" else ["up to date"],
    }
