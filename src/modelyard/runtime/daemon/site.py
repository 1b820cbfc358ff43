"""Where a daemon runs, and what every process is given that it starts there."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.runtime.application import Application
from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.errors import InputError

LIBRARY = Path(__file__).parents[3]
_ENVIRONMENTS = "/opt/modelyard/environments"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a daemon runs: the application, its environments, its run directory, its variables."""

    root: Path
    run_dir: Path
    environments: Path
    settings: Settings
    environ: Mapping[str, str]
    clan: str = field(default_factory=lambda: secrets.token_hex(8))
    """What the marks of all workers of this daemon begin with (see modelyard.runtime.daemon.families)."""

    def make_mark(self, number: int) -> str:
        """The mark of the worker that is started as this one's number; all are of one length."""
        return f"{self.clan}-{number:08d}"

    def python(self, environment: str) -> Path:
        """The interpreter of one environment."""
        return self.environments / environment / "bin" / "python"

    def child_environ(self, **values: str) -> dict[str, str]:
        """The variables of a child: ours, the import path of this package, and `values`."""
        path = os.pathsep.join(dict.fromkeys([str(LIBRARY), *_split_path(self.environ.get("PYTHONPATH"))]))
        # PYTHONSAFEPATH: what the application's files are called must not matter to ours.
        return {**self.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", **values}


def find_environments_folder(environ: Mapping[str, str]) -> Path:
    """The folder with a virtual environment for each name: MODELYARD_ENVIRONMENTS, or the image's own."""
    return Path(environ.get("MODELYARD_ENVIRONMENTS") or _ENVIRONMENTS).absolute()


def check_environments(site: Site, application: Application) -> None:
    """Raise InputError where the image lacks an environment that a model is to run in."""
    for model in application.models:
        if not site.python(model.environment).exists():
            raise InputError(
                f"{model.name} needs the environment {model.environment!r}, but there is no "
                f"{site.python(model.environment)}",
                hint="assemble the image again, or set MODELYARD_ENVIRONMENTS to the folder that holds it",
            )


def _split_path(path: str | None) -> list[str]:
    return [entry for entry in (path or "").split(os.pathsep) if entry]
