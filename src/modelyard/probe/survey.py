"""Look at a folder of somebody's Python files, without running any: what could train, and what could answer."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import InputError, at
from modelyard.runtime.assembling.inspection import can_be_called, check_callable, find_module, flatten, parse_module

TRAIN, PREDICT = "train", "predict"
_METHODS = ("predict", "transform_input", "transform_output", "route", "aggregate")
_ANSWERS = frozenset({*_METHODS, *(f"{name}_raw" for name in _METHODS)})
_NO_MODEL_CODE = frozenset({"setup", "conftest", "__init__", "__main__"})
# What the parser says of Python 2.
_OLD = ("Missing parentheses in call to", "multiple exception types must be parenthesized", "leading zeros in decimal")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A function, or a Seldon style class, that could be an entry."""

    module: str
    name: str
    path: Path
    line: int
    is_class: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({at(self.path.name, self.line)})"


@dataclass(frozen=True, kw_only=True)
class Scripts:
    """The Python files that lie in a folder, parsed; `broken` are those that can't be."""

    folder: Path
    trees: Mapping[str, ast.Module]
    broken: Mapping[str, InputError]

    def path(self, module: str) -> Path:
        """The file of a module."""
        return self.folder / f"{module}.py"


def read_scripts(folder: Path) -> Scripts:
    """Parse the Python files of a folder, its tests left out."""
    trees: dict[str, ast.Module] = {}
    broken: dict[str, InputError] = {}
    for path in sorted(folder.glob("*.py")):
        name = path.stem
        if not path.is_file() or name in _NO_MODEL_CODE or name.startswith("test_") or name.endswith("_test"):
            continue
        try:
            trees[name] = parse_module(path)
        except InputError as error:
            is_old = any(words in error.message for words in _OLD)
            hint = "it is Python 2: make it Python 3 (2to3 does most of that)" if is_old else error.hint
            broken[name] = InputError(error.message, hint=hint)
    return Scripts(folder=folder, trees=trees, broken=broken)


def find_predict(scripts: Scripts, *, class_name: str | None = None) -> Candidate | None:
    """What answers requests: `class_name` (Seldon's MODEL_NAME), else the one that names and parameters point at.

    Raises InputError where several come into question, where it can't be parsed, and where it can't be called.
    """
    named = [class_name] if class_name else []
    return _choose(
        scripts,
        PREDICT,
        [
            lambda: _classes(scripts, lambda one: one.name == class_name and one.module in named),
            lambda: _functions(scripts, lambda one: one.module == one.name == PREDICT),
            lambda: _callable(scripts, lambda one: one.name == PREDICT),
            lambda: _functions(scripts, lambda one: one.module == PREDICT and one.name.startswith(PREDICT)),
            lambda: _callable(scripts, lambda one: one.module == PREDICT),
            lambda: _classes(scripts, lambda one: one.name == one.module),
            lambda: _classes(scripts, lambda one: True),
        ],
        needed=[*named, PREDICT],
    )


def find_train(scripts: Scripts) -> Candidate | None:
    """What trains the model; None where nothing does. Raises InputError as `find_predict` does."""
    return _choose(
        scripts,
        TRAIN,
        [
            lambda: _functions(scripts, lambda one: one.module == one.name == TRAIN),
            lambda: _callable(scripts, lambda one: one.name == TRAIN),
            lambda: _callable(scripts, lambda one: one.module == TRAIN and one.name.startswith((TRAIN, "fit"))),
            lambda: _callable(scripts, lambda one: one.module == TRAIN and one.name in ("main", "run")),
            lambda: _callable(scripts, lambda one: one.module == TRAIN),
        ],
        needed=[TRAIN],
    )


def find_package(scripts: Scripts, *, project: str, model: str) -> str:
    """The package that the files' own imports take for granted: `project.model`, `model`, `project`, or `""`.

    Files that import each other by bare names, or open what lies beside them by its name, belong at the root.
    """
    full = f"{project}.{model}"
    imported = list(_imported(scripts))
    for package in dict.fromkeys((full, scripts.folder.name, model, project)):
        prefix = f"{package}."
        if any(name.startswith(prefix) and _holds(scripts, name.removeprefix(prefix)) for name in imported):
            return package
    if any(name.startswith(".") for name in imported):
        return full
    is_bare = any(_holds(scripts, name) for name in imported) or _opens_its_own_files(scripts)
    return "" if is_bare else full


def find_outside_imports(scripts: Scripts) -> tuple[str, ...]:
    """The top-level names that the files import, and that are none of their own."""
    tops = {name.partition(".")[0] for name in _imported(scripts) if not name.startswith(".")}
    own = {name for name in tops if _holds(scripts, name)}
    return tuple(sorted(tops - own - {scripts.folder.name}))


def _choose(
    scripts: Scripts, what: str, levels: Iterable[Callable[[], Iterable[Candidate]]], *, needed: Iterable[str]
) -> Candidate | None:
    """The first level's one candidate."""
    for name in needed:
        if name in scripts.broken:
            raise scripts.broken[name]
    for level in levels:
        found = list(level())
        if len(found) > 1:
            variable = "ROUTES=<route>:<module>:<function>" if what == PREDICT else "TRAIN_MODULE and TRAIN_FUNCTION"
            raise InputError(
                f"{scripts.folder}: several could be what {what}s: {', '.join(map(str, found))}",
                hint=f"say which: write {variable} into .s2i/environment, or name one of them {what}, in {what}.py",
            )
        if found:
            [one] = found
            if not one.module.isidentifier():
                raise InputError(
                    f"{one.path}: no module can be called {one.module!r}", hint="rename the file, as in predict.py"
                )
            check_callable(one.path, one.name, shown=one.path)
            return one
    return None


def _functions(scripts: Scripts, fits: Callable[[Candidate], bool]) -> Iterator[Candidate]:
    yield from (one for one in _definitions(scripts) if not one.is_class and fits(one))


def _callable(scripts: Scripts, fits: Callable[[Candidate], bool]) -> Iterator[Candidate]:
    """Those that can be called with one message or with nothing."""
    for one in _functions(scripts, fits):
        if not one.name.startswith("_") and can_be_called(one.path, one.name):
            yield one


def _classes(scripts: Scripts, fits: Callable[[Candidate], bool]) -> Iterator[Candidate]:
    yield from (one for one in _definitions(scripts) if one.is_class and fits(one))


def _definitions(scripts: Scripts) -> Iterator[Candidate]:
    """Every function at the top of a file, and every class that answers as Seldon's do."""
    for module, tree in scripts.trees.items():
        found: dict[str, Candidate] = {}
        for node in flatten(tree.body):
            is_class = isinstance(node, ast.ClassDef)
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if not is_class or _answers(node):
                path = scripts.path(module)
                found[node.name] = Candidate(
                    module=module, name=node.name, path=path, line=node.lineno, is_class=is_class
                )
        yield from found.values()


def _answers(node: ast.stmt) -> bool:
    body = node.body if isinstance(node, ast.ClassDef) else []
    return any(isinstance(item, ast.FunctionDef) and item.name in _ANSWERS for item in body)


def _imported(scripts: Scripts) -> Iterator[str]:
    """The modules that the files import anywhere, relative ones with their dots."""
    for tree in scripts.trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                yield base
                if node.module:
                    yield from (f"{base}.{alias.name}" for alias in node.names)


def _holds(scripts: Scripts, module: str) -> bool:
    """Tell whether a module, or a folder with modules, lies in the folder."""
    if module in scripts.trees or module in scripts.broken or find_module(scripts.folder, module):
        return True
    folder = scripts.folder.joinpath(*module.split("."))
    return folder.is_dir() and any(folder.glob("*.py"))


def _opens_its_own_files(scripts: Scripts) -> bool:
    """Tell whether a text in the code is the name of a file that lies beside it."""
    names = {path.name for path in scripts.folder.iterdir() if path.is_file() and path.suffix != ".py"}
    nodes = (node for tree in scripts.trees.values() for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return any(isinstance(node.value, str) and node.value.removeprefix("./") in names for node in nodes)
