"""The pages of a project's runs: served, and the report that every run leaves."""

import os
from pathlib import Path

from modelyard.commands.flow_status import read_run
from modelyard.flows.records import Records
from modelyard.pages.run_page import RunPage, render_report
from modelyard.pages.run_view import describe_run, embed_pictures, summarise_run

REPORT = "report.html"


def make_run_page(records: Records) -> RunPage:
    """Return the page of the runs of a project, as it is asked for."""
    return RunPage(
        records.root,
        ids=records.ids,
        view=lambda id: describe_run(records, read_run(records, id)),
        summary=lambda id: summarise_run(read_run(records, id)),
    )


def write_report(records: Records, id: str) -> Path:
    """Write a run as one page that needs no server and no network, into its folder; return the file."""
    folder = records.root / id
    view = embed_pictures(describe_run(records, read_run(records, id)), records.root)
    path, part = folder / REPORT, folder / f".{REPORT}.{os.getpid()}.part"
    try:
        part.write_text(render_report(view), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
