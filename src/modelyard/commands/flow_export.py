"""A flow for what else starts it: a line for cron, a workflow for GitHub."""

import shlex
from pathlib import Path

from modelyard.errors import InputError
from modelyard.flows.definition import Flow


def export_cron(flow: Flow, root: Path, *, schedule: str | None) -> str:
    """A line of a crontab that runs the flow in this workspace."""
    folder, log = shlex.quote(str(root)), shlex.quote(str(flow.project / "runs" / "cron.log"))
    project = shlex.quote(str(flow.project.relative_to(root)))
    command = f"cd {folder} && .venv/bin/modelyard flow run {project} >> {log} 2>&1"
    escaped = command.replace("%", r"\%")  # which ends a command of cron
    return f"{_schedule(flow, schedule)} {escaped}\n"


def export_github(flow: Flow, root: Path, *, schedule: str | None) -> str:
    """A workflow that runs the flow, with its artifacts kept from one run to the next."""
    project = flow.project.relative_to(root)
    return f"""\
name: flow {project.name}
on:
  schedule:
    - cron: "{_schedule(flow, schedule)}"
  workflow_dispatch:
concurrency: flow-{project.name}
permissions:
  contents: read
jobs:
  run:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.11"
      - uses: actions/cache@v4
        with:
          path: |
            {project}/runs
            ~/.local/share/modelyard
          key: flow-{project.name}-${{{{ github.run_id }}}}
          restore-keys: flow-{project.name}-
      - run: make setup
      - run: .venv/bin/modelyard flow run {shlex.quote(str(project))} --engine local
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: runs
          path: {project}/runs/2*/
"""


def _schedule(flow: Flow, schedule: str | None) -> str:
    chosen = schedule or flow.schedule
    if chosen is None:
        raise InputError(
            f"{flow.document.path}: it says no schedule", hint='add schedule: "0 3 * * *", or --schedule "0 3 * * *"'
        )
    if len(chosen.split()) != 5:
        raise InputError(f"{chosen!r} is no schedule of cron", hint='five fields: "0 3 * * *" is at 3 in the morning')
    return chosen
