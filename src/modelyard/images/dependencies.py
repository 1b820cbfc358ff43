"""What a dependency image is made of, and what finds it again."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.images.builder import LIB, ROLE_LABEL, SCRIPTS, BuilderPlan, Platform
from modelyard.images.namespace import Namespace
from modelyard.images.shelves import FORMAT
from modelyard.machine.lib import RECIPE
from modelyard.runtime.application import DEFAULT_ENVIRONMENT

KEY_LABEL = "io.modelyard.dependencies"
SETUP_LABEL = "io.modelyard.setup"
LAYERS_LABEL = "io.modelyard.layers"
"""The keys of the layers that an image has on top of the platform, or of setup.sh, from the bottom up."""
MODULES_LABEL = "io.modelyard.modules"


@dataclass(frozen=True)
class DependencyPlan:
    """What a dependency image is made of; `key` is its digest."""

    context: BuildContext
    builder: BuilderPlan
    platform: Platform
    namespace: Namespace
    settings: tuple[str, ...] = ()
    """The user's settings of uv that decide which versions are installed."""

    @property
    def key(self) -> str:
        """The digest of platform, build arguments, the code that installs, setup.sh and requirements."""
        recipe = [self.builder.runtime[f"{LIB}/modelyard/runtime/{name}"] for name in RECIPE]
        words = [self.platform.key, self.context.dependencies_digest, FORMAT, *self._arguments, *self.settings]
        return digest_parts([self._script, *recipe, *map(str.encode, words)])

    @property
    def tag(self) -> str:
        """What the image is called in the engine's own list."""
        return self.namespace.reference(f"modelyard/dependencies:{self.key[:20]}")

    @property
    def has_setup(self) -> bool:
        """Whether there is a setup.sh to run."""
        return (self.context.source / "setup.sh").is_file()

    @property
    def setup_tag(self) -> str:
        """What the image that setup.sh made of the platform is called; requirements have no part in it."""
        script = (self.context.source / "setup.sh").read_bytes()
        key = digest_parts([self._script, script, *map(str.encode, [self.platform.key, *self._arguments])])
        return self.namespace.reference(f"modelyard/setup:{key[:20]}")

    def label(self, modules: Mapping[str, frozenset[str]]) -> dict[str, str]:
        """The labels of the image; `modules` are the top-level modules that each environment lets Python import."""
        names = [each.name for each in self.context.environments]
        found = {modules_label(name): " ".join(sorted(modules.get(name, ()))) for name in names}
        return {**self.namespace.labels, KEY_LABEL: self.key, ROLE_LABEL: "dependencies", **found}

    @property
    def _arguments(self) -> list[str]:
        return [f"{name}={value}" for name, value in sorted(self.context.arguments.items())]

    @property
    def _script(self) -> bytes:
        return self.builder.runtime[f"{SCRIPTS}/assemble"]


def modules_label(environment: str) -> str:
    """The label that names the modules of one environment."""
    return MODULES_LABEL if environment == DEFAULT_ENVIRONMENT else f"{MODULES_LABEL}.{environment}"
