"""`modelyard doctor`."""

import click

from modelyard.cli.console import print_json
from modelyard.cli.options import json_option, pass_settings
from modelyard.cli.settings import Settings
from modelyard.errors import WorkspaceError

_MARKS = {"ok": ("ok", "green"), "warning": ("note", "yellow"), "missing": ("MISSING", "red")}


@click.command("doctor")
@click.option("--offline", is_flag=True, help="Do not look at the network settings, which asks the package index.")
@json_option
@pass_settings
def doctor_command(settings: Settings, offline: bool, as_json: bool) -> int:
    """Say what is missing on this machine and in this workspace, and how to mend it.

    Exits with 1 where something is missing, with 0 where there are notes at most.
    """
    from modelyard.commands.doctor import examine_machine, examine_setup, examine_workspace
    from modelyard.commands.network_check import examine_network
    from modelyard.machine.home import Home
    from modelyard.network import trace_network_profile

    findings = list(examine_machine(Home.from_environ(settings.environ).root, settings.environ))
    if not offline:
        findings += examine_network(trace_network_profile(settings.environ), settings.environ)
    try:
        findings += examine_workspace(settings.workspace)
        findings += examine_setup(settings.workspace, settings.environ)
    except WorkspaceError as error:
        click.echo(f"{error.message}: this machine only\n", err=True)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            mark, colour = _MARKS[finding.state]
            click.echo(f"{click.style(f'{mark:>8}', fg=colour)}  {finding.what}")
            if finding.fix and finding.state != "ok":
                click.echo(f"          -> {finding.fix}")
    return int(any(finding.state == "missing" for finding in findings))
