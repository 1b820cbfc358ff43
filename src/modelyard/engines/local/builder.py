"""Build in the embedded engine: the builder's own assemble script makes a folder, named by its content."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.engines.local.environments import (
    EnvironmentPlan,
    environment_path,
    environment_size,
    is_made,
    make_environment,
    plan_environments,
)
from modelyard.engines.local.images import RECORD, LocalImages
from modelyard.engines.local.setup import find_setup, warn_of_setup
from modelyard.engines.protocols import Image, OnOutput
from modelyard.engines.reference import normalise_tag
from modelyard.errors import EngineError
from modelyard.machine.failure import explain_build_failure
from modelyard.machine.home import Home, measure_tree, remove_tree, write_record
from modelyard.machine.lib import digest_runtime, install_runtime
from modelyard.machine.process import inherit, run_command


@dataclass(frozen=True)
class LocalBuilder:
    """Builds below a home; `environ` is the user's environment."""

    home: Home
    environ: Mapping[str, str]

    def build(self, context: BuildContext, *, tag: str, on_output: OnOutput) -> Image:
        """Build `context` unless its image is there, and tag it."""
        tag = normalise_tag(tag)
        for line in warn_of_setup(context, self.environ):
            on_output(line)
        images = LocalImages(self.home)
        plans = plan_environments(context, self.environ)
        lib = digest_runtime()
        id = image_id(context, plans, lib=lib)
        waiting = f"---> image {id[:12]}: another build is making it, wait for that"
        with (
            self.home.lock("store", shared=True),
            self.home.lock(f"image-{id}", on_wait=lambda: on_output(waiting)) as lock,
        ):
            found = images.get(id)
            reused = found is not None and all(is_made(self.home, plan.key) for plan in plans)
            if reused:
                on_output(f"---> image {id[:12]}: nothing has changed, reused")
            else:
                for plan in plans:
                    make_environment(self.home, plan, self.environ, on_output)
                self._make_image(id, context, plans, lib, on_output, lock)
            images.tag(id, tag)
            image = images.get(id)
        if image is None:
            raise EngineError(f"{self.home.images / id}: the image is gone", hint="something removed it: build again")
        return replace(image, reused=reused)

    def _make_image(
        self,
        id: str,
        context: BuildContext,
        plans: Sequence[EnvironmentPlan],
        lib: str,
        on_output: OnOutput,
        lock: int,
    ) -> None:
        part = self.home.images / f".{id}.part"
        remove_tree(part)
        try:
            (part / "environments").mkdir(parents=True)
            (part / "lib").symlink_to(install_runtime(self.home, lib))
            shutil.copytree(context.scripts, part / "s2i")
            for plan in plans:
                (part / "environments" / plan.name).symlink_to(environment_path(self.home, plan.key))
            self._assemble_source(part, context, on_output, lock)
            write_record(part / RECORD, describe_image(self.home, part, context, plans, lib=lib))
            remove_tree(self.home.images / id)
            part.rename(self.home.images / id)
        except BaseException:
            remove_tree(part)
            raise

    def _assemble_source(self, part: Path, context: BuildContext, on_output: OnOutput, lock: int) -> None:
        variables = {
            **inherit(self.environ),
            **context.environment,
            "APP_ROOT": str(part / "app"),
            "S2I_SOURCE": str(context.source),
            "MODELYARD_KIND": context.kind,
            "MODELYARD_LIB": str(part / "lib"),
            "MODELYARD_ENVIRONMENTS": str(part / "environments"),
            "MODELYARD_PYTHON": self.environ.get("MODELYARD_PYTHON") or sys.executable,
            "MODELYARD_STAGES": "source",
        }
        script = part / "s2i" / "assemble"
        # A mistake is one of the application source, not of the folder that it is tried in.
        tried = f"{part / 'app'}/"
        code, last = run_command(
            ["bash", str(script)],
            environ=variables,
            on_output=lambda line: on_output(line.replace(tried, "")),
            locks=[lock],
        )
        if code:
            raise explain_build_failure(context.name, code, [line.replace(tried, "") for line in last])


def image_id(context: BuildContext, plans: Sequence[EnvironmentPlan], *, lib: str) -> str:
    """The id of the image that a context makes: the digest of all that goes into it."""
    keys = [part for plan in plans for part in (plan.name, plan.key)]
    about = [context.name, context.kind, context.source_digest, lib, *keys]
    return digest_parts(map(str.encode, about))


def describe_image(
    home: Home, folder: Path, context: BuildContext, plans: Sequence[EnvironmentPlan], *, lib: str
) -> dict[str, object]:
    """What image.json says."""
    environments = {plan.name: plan.key for plan in plans}
    setup = {"io.modelyard.setup": "run" if context.runs_setup else "left out"} if find_setup(context) else {}
    return {
        "schema": 1,
        "kind": context.kind,
        "name": context.name,
        "created": datetime.now(UTC).isoformat(),
        "environment": {**context.environment, "MODELYARD_SOURCE_DIGEST": context.source_digest},
        "environments": environments,
        "lib": lib,
        "labels": {
            "org.opencontainers.image.title": context.name,
            "org.opencontainers.image.version": context.source_digest[:12],
            "io.modelyard.kind": context.kind,
            "io.modelyard.variant": context.about.variant,
            "io.modelyard.source-digest": context.source_digest,
            "io.modelyard.dependencies-digest": context.dependencies_digest,
            **setup,
            **{f"io.modelyard.environment.{name}": key for name, key in environments.items()},
        },
        "size": measure_tree(folder) + sum(environment_size(home, key) for key in set(environments.values())),
    }
