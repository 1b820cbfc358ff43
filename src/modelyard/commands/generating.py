"""Generate `all/`: of one project, of every project, and of the whole workspace."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import check_tree, diff_tree, write_tree
from modelyard.commands.reporter import Reporter
from modelyard.commands.subject import find_combined
from modelyard.machine.home import Home
from modelyard.machine.uv import find_uv
from modelyard.network import mask_credentials, read_network_profile
from modelyard.requirements.resolve import Resolve, Resolver, Verdict
from modelyard.workspace import CombinedDirectory, Workspace


def generate_all(
    workspace: Workspace,
    path: Path,
    *,
    names: Sequence[str] | None = None,
    check: bool = False,
    offline: bool = False,
    dry_run: bool = False,
    reporter: Reporter,
) -> Iterator[str]:
    """Write every `all/` that `path` stands for, and say of each what changed.

    `check` writes nothing and raises StaleError with a diff where something would change; `dry_run` says the diff.
    """
    combined = find_combined(workspace, path)
    if names is not None:
        combined = tuple(workspace.combined_directory(one.path, names=names) for one in combined)
    resolve = None if offline else ReportingResolver(os.environ, reporter)
    for one in combined:
        yield from _generate_one(workspace, one, resolve, check=check, dry_run=dry_run, reporter=reporter)


def check_combined(workspace: Workspace, path: Path) -> None:
    """Raise an error where the `all/` of `path` cannot be generated, or is there and stale; asks no package index."""
    combined = workspace.combined_directory(path)
    tree = generate(workspace, combined)
    if combined.path.is_dir():
        check_tree(tree, relative_to=workspace.root)


class ReportingResolver:
    """Resolves with uv and the user's own package index settings, which are read only when there is a need."""

    def __init__(self, environ: Mapping[str, str], reporter: Reporter) -> None:
        self._environ = environ
        self._reporter = reporter
        self._resolver: Resolver | None = None

    def __call__(self, lines: Sequence[str], *, python: str | None = None) -> Verdict:
        """Tell whether `lines` can be installed together."""
        if self._resolver is None:
            profile = read_network_profile(self._environ)
            self._resolver = Resolver(
                uv=find_uv(self._environ),
                environ={**self._environ, **profile.variables},
                cache=Home.from_environ(self._environ).root / "resolutions",
                python_version=f"{sys.version_info.major}.{sys.version_info.minor}",
            )
        if self._resolver.remembers(lines, python=python):
            return self._resolver(lines, python=python)
        what = f"{len(lines)} lines of requirements" if len(lines) > 1 else mask_credentials(lines[0])
        with self._reporter.step(f"asking the package index: {what}") as step:
            verdict = self._resolver(lines, python=python)
            step.done(f"asked the package index: {what}: {verdict.status}")
        return verdict


def _generate_one(
    workspace: Workspace,
    combined: CombinedDirectory,
    resolve: Resolve | None,
    *,
    check: bool,
    dry_run: bool,
    reporter: Reporter,
) -> Iterator[str]:
    tree = generate(workspace, combined, resolve=resolve, trusts_record=check)
    for note in tree.notes:
        reporter.note(note)
    shown = os.path.relpath(combined.path, workspace.root)
    if dry_run:
        yield diff_tree(tree, relative_to=workspace.root) or f"{shown} would not change"
        return
    if check:
        check_tree(tree, relative_to=workspace.root)
        yield f"{shown} is up to date"
        return
    changed = write_tree(tree)
    names = ", ".join(str(path.relative_to(combined.path)) for path in changed)
    yield f"{shown}: wrote {names}" if changed else f"{shown} is up to date"
