"""What a flow command is asked for, and all that is known before anything runs."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelyard.commands.building import Limits
from modelyard.commands.flow_sources import FlowSources, read_sources, text_finder
from modelyard.errors import InputError
from modelyard.flows.config import Config, read_config
from modelyard.flows.definition import Flow, Search, Step, read_flow
from modelyard.flows.path_digests import PathDigests
from modelyard.flows.plan import Planner
from modelyard.flows.records import Records
from modelyard.flows.search import check_search
from modelyard.runtime.cores import count_cores
from modelyard.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class FlowRequest:
    """Which flow, and with what."""

    workspace: Workspace
    project: Path
    sets: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    only: str | None = None
    """Run this step, and those that it needs."""
    search: Search | None = None
    """In place of the search of the step `only`."""
    jobs: int | None = None
    variant: str = "cpu"
    limits: Limits = field(default_factory=Limits)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def most_jobs(self) -> int:
        """How many steps may run side by side."""
        return self.jobs or count_cores()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A flow that is right: its configuration and sources are read and checked."""

    flow: Flow
    config: Config
    sources: FlowSources
    records: Records
    planner: Planner
    digests: PathDigests


def prepare(request: FlowRequest) -> Prepared:
    """Read and check everything; raise InputError for what is wrong, before anything runs."""
    flow = _restrict(read_flow(request.project), request)
    config = read_config(flow, sets=request.sets)
    for step in flow.steps.values():
        check_search(step, flow, config)
    for name in request.forced:
        flow.step(name, place="--force")
    records = Records(flow.runs)
    sources = read_sources(flow, request.workspace, variant=request.variant, limits=request.limits)
    digests = PathDigests.load(records.digests_file)

    def digest_of(step: Step, name: str) -> str:
        place = flow.document.where("steps", step.name, "inputs", name)
        return digests.digest(flow.project / step.inputs[name].path, place=place)

    planner = Planner(
        flow=flow,
        config=config,
        records=records,
        sources=sources.steps,
        digest_of=digest_of,
        text_of=text_finder(sources, records.source_text),
        forced=request.forced,
    )
    return Prepared(flow=flow, config=config, sources=sources, records=records, planner=planner, digests=digests)


def _restrict(flow: Flow, request: FlowRequest) -> Flow:
    """The flow of one step and those that it needs, where only that is asked for."""
    if request.only is None:
        return flow
    wanted = flow.step(request.only, place="the command line")
    needed = {wanted.name}
    for name in reversed(list(flow.steps)):
        if name in needed:
            needed.update(flow.steps[name].needs)
    steps = {name: step for name, step in flow.steps.items() if name in needed}
    if request.search is not None:
        steps[wanted.name] = replace(wanted, search=request.search)
    return replace(flow, steps=steps)


def read_git(folder: Path) -> dict[str, Any] | None:
    """The commit that the project is at, and whether it has changes; None outside of git."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str | None:
        done = subprocess.run(
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--untracked-files=no", "--", "."))}


def find_flow_project(workspace: Workspace, folder: Path) -> Path:
    """The project of a flow, by its folder, or one of a model directory in it."""
    for path in (folder, *folder.parents):
        if path.parent == workspace.projects_root:
            return path
    with_flow = [path.parent for path in sorted(workspace.projects_root.glob("*/flow.yaml"))]
    if len(with_flow) == 1:
        return with_flow[0]
    known = ", ".join(path.name for path in with_flow) or "none yet"
    raise InputError(f"{folder}: no project (those that have a flow.yaml: {known})", hint="name a project's folder")
