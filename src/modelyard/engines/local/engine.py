"""The embedded engine behind the Protocols."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.context.build_context import BuildContext
from modelyard.context.lock import Target
from modelyard.engines.delegation import DelegatingEngine
from modelyard.engines.local.builder import LocalBuilder
from modelyard.engines.local.environments import (
    describe_target,
    environment_path,
    make_environment,
    plan_requirements,
)
from modelyard.engines.local.images import RECORD, LocalImages
from modelyard.engines.protocols import Image, OnOutput, Part, Pruned, discard
from modelyard.images.bill import Bill
from modelyard.machine.home import Home, explaining_disk_errors, measure_tree, remove_tree
from modelyard.runtime.scratch import remove_abandoned, scratch_folder

if TYPE_CHECKING:
    from modelyard.engines.local.containers import LocalContainers


class LocalEngine(DelegatingEngine):
    """Builds with directories, runs with process groups; `environ` is the user's environment."""

    name = "local"
    lacks: Mapping[Part, str] = {
        "publisher": "has no images that a registry takes: its images are folders of this machine"
    }

    _images: LocalImages

    def __init__(self, home: Home, environ: Mapping[str, str]) -> None:
        self.home = home
        self.environ = environ
        self._images = LocalImages(home)
        self._builder = LocalBuilder(home, environ)

    @cached_property
    def _containers(self) -> "LocalContainers":  # type: ignore[override]
        from modelyard.engines.local.containers import LocalContainers  # a build starts none

        return LocalContainers(self.home, self.environ)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "LocalEngine":
        """Open the engine whose home the environment names."""
        return cls(Home.from_environ(environ), environ)

    def build(self, context: BuildContext, *, tag: str, on_output: OnOutput = discard) -> Image:
        """See ImageBuilder."""
        with explaining_disk_errors():
            return self._builder.build(context, tag=tag, on_output=on_output)

    def target(self, context: BuildContext) -> Target:
        """See ImageBuilder."""
        return describe_target(self.environ)

    def environment_for(self, requirements: Path, *, on_output: OnOutput = discard) -> Path:
        """Make, or find, the environment of a requirements file, and return the virtual environment's folder."""
        with scratch_folder() as folder, self.home.lock("store", shared=True):
            plan = plan_requirements(requirements, folder, self.environ)
            make_environment(self.home, plan, self.environ, on_output)
            return environment_path(self.home, plan.key)

    def refresh(self, name: str, image: str) -> bool:
        """See Refresher."""
        return self._containers.refresh(name, image)

    def measure(self, reference: str) -> Bill:
        """See ImageStore."""
        from modelyard.engines.local.measuring import measure_image

        return measure_image(self.home, self._images.find(reference))

    def remove(self, reference: str) -> Image:
        """See ImageStore."""
        with self.home.lock("store"):
            image = self._images.find(reference)
            self.check_unused(image, reference)
            return self._images.remove(image, reference)

    def remove_container(self, name: str) -> None:
        """See Remover."""
        self._containers.remove(self._containers.find(name))

    def prune(self) -> Pruned:
        """See ImageStore."""
        from modelyard.engines.local.containers import RECORD as CONTAINER_RECORD

        with self.home.lock("store"):
            ended = [item for item in self._containers.all() if item.status == "exited"]
            folders = [self.home.containers / item.id for item in ended]
            in_use = {item.image for item in self.containers()}
            images = [item for item in self.images() if not item.tags and item.id not in in_use]
            folders += [self.home.images / item.id for item in images]
            kept = {item.id for item in self.images()} - {item.id for item in images}
            used = {folder for id in kept for folder in self._images.used_folders(id)}
            environments = [path for path in self.home.environments.glob("*") if path not in used]
            # An assemble whose modelyard was killed goes on, and holds the lock of what it makes, not the store's.
            environments = [path for path in environments if not self.home.is_held(f"environment-{path.name}")]
            folders += [*environments, *(path for path in self.home.libs.glob("*") if path not in used)]
            folders += [path for path in self.home.images.glob("*") if not (path / RECORD).is_file()]
            folders += [path for path in self.home.containers.glob("*") if not (path / CONTAINER_RECORD).is_file()]
            freed = sum(map(measure_tree, folders))
            for folder in folders:
                remove_tree(folder)
            self.home.remove_free_locks()
            freed += remove_abandoned()
        return Pruned(
            images=tuple(item.id for item in images),
            environments=tuple(path.name for path in environments if not path.name.startswith(".")),
            containers=tuple(item.name for item in ended),
            freed=freed,
        )
