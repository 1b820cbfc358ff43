"""Go on with the last run: with the parameters and options that it had."""

import json
from dataclasses import replace
from typing import Any

from modelyard.commands.flow_request import FlowRequest
from modelyard.commands.flow_status import read_run
from modelyard.errors import InputError
from modelyard.flows.records import Records


def find_options(request: FlowRequest) -> FlowRequest:
    """The request of the last run; steps that it was forced to run, and has run, are not run again."""
    records = Records(request.project / "runs")
    run = read_run(records, records.find(None))
    if run["state"] == "running":
        raise InputError(f"run {run['id']} goes on", hint="wait until it has ended")
    arguments = run["arguments"]
    return replace(
        request,
        sets=tuple(f"{name}={json.dumps(value)}" for name, value in arguments["set"].items()),
        forced=tuple(name for name in arguments["force"] if not _is_done(run["steps"].get(name))),
        only=arguments["only"],
        jobs=arguments["jobs"],
        variant=arguments["variant"],
    )


def _is_done(step: dict[str, Any] | None) -> bool:
    return step is None or step["state"] == "succeeded"
