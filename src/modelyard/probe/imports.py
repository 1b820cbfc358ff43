"""Follow the imports of modules through an application source that is not staged yet, and name those that break."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.errors import InputError
from modelyard.probe.layout import Layout
from modelyard.runtime.assembling.inspection import Import, find_functions, find_imports, find_module
from modelyard.runtime.beside import SHARED
from modelyard.workspace import ModelDirectory, describe


@dataclass
class ImportCheck:
    """Checks modules one after the other; a file that several of them import is read once."""

    layout: Layout
    root: Path
    """The workspace's root: files are named from there."""
    _seen: set[Path] = field(default_factory=set)

    def find_broken(self, model: ModelDirectory, modules: Iterable[str]) -> Iterator[InputError]:
        """Yield an error for every import, reached from `modules` of `model`, of a local module that is not there.

        What is not local is the requirements' business: it is checked when the image is assembled.
        """
        waiting = list(modules)
        followed: set[str] = set()
        while waiting:
            module = waiting.pop(0)
            if module in followed:
                continue
            followed.add(module)
            path = self._locate(module, model)
            if path is None or path in self._seen:
                continue
            self._seen.add(path)
            for item in find_imports(path, module=module):
                error = self._check(item, path, model)
                if error is not None:
                    yield error
                waiting += [*_with_parents(item.module), *(f"{item.module}.{name}" for name in item.names)]

    def _locate(self, module: str, model: ModelDirectory) -> Path | None:
        """The file of a module; the model directory itself comes last on the path, so bare names of it are found."""
        if not module or module in self.layout.generated:
            return None
        return self.layout.find(module) or find_module(model.path, module)

    def _check(self, item: Import, path: Path, model: ModelDirectory) -> InputError | None:
        place = describe(path, item.line, root=self.root)
        if item.module.startswith(".") or not item.module:
            return InputError(
                f"{place}: a relative import, but {model.full_name} is staged at the root, where there is no package",
                hint="import the module by its bare name, or give ROUTES and TRAIN_MODULE a package",
            )
        top = item.module.partition(".")[0]
        if not self.layout.holds(top):
            return None
        if item.module in SHARED and (model.path / f"{item.module}.py").is_file():
            return None  # that one is found: see modelyard.runtime.beside
        if not self.layout.holds(item.module):
            return InputError(
                f"{place}: imports {item.module!r}, which is no module here", hint=self._hint(item, model)
            )
        missing = [name for name in item.names if self._lacks(item.module, name)]
        if missing and item.module in self.layout.generated:
            return InputError(
                f"{place}: imports {missing[0]!r} from {item.module!r}, which all/ generates without it",
                hint=self._hint(item, model),
            )
        if missing:
            return InputError(
                f"{place}: imports {missing[0]!r} from {item.module!r}, which has no such module",
                hint="correct the name, or add the file",
            )
        return None

    def _lacks(self, module: str, name: str) -> bool:
        """Tell whether `module` is generated without `name`, or a folder that has neither `name`."""
        if module in self.layout.generated:
            return name not in self.layout.generated[module]
        path = self.layout.find(module)
        if name == "*" or (path is not None and path.name != "__init__.py"):
            return False
        return not (path is not None and find_functions(path)) and not self.layout.holds(f"{module}.{name}")

    def _hint(self, item: Import, model: ModelDirectory) -> str:
        leaf = item.module.removeprefix(f"{model.package}.")
        if item.module in self.layout.generated and not model.package:
            return "move what both need into a module that no ROUTES names"
        if model.package and item.module != leaf and find_module(model.path, leaf):
            names = ", ".join(item.names) or "..."
            return (
                f"beside other models its files are staged as {model.project}.{model.name}: "
                f"use a relative import, which holds in both: from .{leaf} import {names}"
            )
        return "correct the name, or add the file"


def _with_parents(module: str) -> Iterator[str]:
    while module:
        yield module
        module = module.rpartition(".")[0]
