"""Read Python files without running them: what a module defines, what it imports, and what of that is missing."""

import ast
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.runtime.errors import InputError, at
from modelyard.runtime.nearest import describe_choices

# What people import under another name than they install it.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One unguarded top-level import: `module` is absolute, `names` what is taken from it."""

    module: str
    names: tuple[str, ...]
    line: int


def parse_module(path: Path) -> ast.Module:
    """Parse a Python file; raise InputError naming the line of a syntax error."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise InputError(f"{at(path, error.lineno)}: {error.msg}", hint="correct the syntax") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}", hint="save the file as UTF-8 text") from None
    except (RecursionError, MemoryError):  # what Python itself says of such a file, whatever memory there is
        raise InputError(f"{path}: nested too deeply for Python", hint="keep data out of code: in a file") from None


def find_functions(path: Path) -> dict[str, int]:
    """The names that a module binds at its top level (functions, classes, values, imports), each with its line."""
    names: dict[str, int] = {}
    for node in flatten(parse_module(path).body):
        for name in _bound_names(node):
            names[name] = node.lineno
    return names


def describe_functions(path: Path, *, wanted: str) -> str:
    """The functions and classes that a module defines itself, to choose from."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    own = [node.name for node in flatten(parse_module(path).body) if isinstance(node, kinds)]
    return describe_choices(wanted, (name for name in own if not name.startswith("_")), none="no function")


def find_imports(path: Path, *, module: str = "") -> tuple[Import, ...]:
    """The imports that run, unconditionally, when a module is imported; `module` is its own dotted name.

    What stands in `if`, `try` or a function may be skipped on purpose and is not among them.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in parse_module(path).body:
        if isinstance(node, ast.Import):
            found += [Import(module=alias.name, names=(), line=node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append(Import(module=_absolute(node, package), names=names, line=node.lineno))
    return tuple(found)


def find_module(root: Path, module: str) -> Path | None:
    """The file below `root` that Python would import `module` from; None where there is none."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_name(base.name + ".py")) if path.is_file()), None)


def check_entry(root: Path, module: str, function: str, *, place: str) -> Path:
    """Return the file of `module` below `root`; raise InputError where it is missing or does not define `function`,
    or that can't be called with one message.

    `place` is where the two are named. A module with a `__getattr__` (PEP 562) is taken to define what its literal
    table of functions lists.
    """
    path = find_module(root, module)
    if path is None:
        raise InputError(
            f"{place}: no module {module}, there is no {module.replace('.', '/')}.py in the application source",
            hint="name the module by the dotted path it is staged at",
        )
    check_callable(path, function, shown=path.relative_to(root))
    if function in find_functions(path) or (module, function) in find_lazy_functions(path):
        return path
    known = describe_functions(path, wanted=function)
    raise InputError(
        f"{place}: {path.relative_to(root)} defines no {function!r} (it defines {known})",
        hint="correct the name of the function",
    )


def check_callable(path: Path, function: str, *, shown: Path | str) -> None:
    """Raise InputError where a module's function can't be called with one message: it is async, or needs more.

    What the module does not define by a plain `def` is passed over. `shown` is how messages name the file.
    """
    node = _find_plain_function(path, function)
    if node is None:
        return
    if isinstance(node, ast.AsyncFunctionDef):
        raise InputError(
            f"{at(shown, node.lineno)}: {function} is async, which a worker does not await",
            hint="write def; asyncio.run(...) inside it runs what has to be awaited",
        )
    places, keywords = _needed_parameters(node.args)
    if len(places) > 1 or keywords:
        raise InputError(
            f"{at(shown, node.lineno)}: {function} needs {', '.join((*places, *keywords))}, but is called with one "
            "argument, the message",
            hint=f"write def {function}(msg): what else it needs is in msg.payload; or give the others defaults",
        )


def can_be_called(path: Path, function: str) -> bool:
    """Tell whether `check_callable` has nothing against a module's function."""
    try:
        check_callable(path, function, shown=path)
    except InputError:
        return False
    return True


def find_lazy_functions(path: Path) -> dict[tuple[str, str], str]:
    """The table of a generated predict module: (module path, function) to the module that really defines it."""
    tree = parse_module(path)
    if not any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body):
        return {}
    table: dict[tuple[str, str], str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            table |= _read_table(node.value)
    return table


BESIDE = "; the module beside it is meant: write from ."


def find_missing_imports(
    root: Path,
    modules: Iterable[str],
    find_absent: Callable[[Collection[str]], Collection[str]],
    *,
    own_folders: Collection[Path] = (),
) -> tuple[str, ...]:
    """Follow the imports of `modules` through the application source; say, a line each, which do not resolve.

    `find_absent` tells which of some top-level names the environment has not. What stands in one of `own_folders`
    finds modules there too, last: the worker has its model's folder on its path.
    """
    problems: list[str] = []
    outside: dict[str, tuple[Path, int]] = {}
    for path, item in _reach(root, modules, own_folders):
        top = item.module.partition(".")[0]
        if not _is_inside(root, top):
            if _find_beside(path, top, own_folders) is None:
                outside.setdefault(top, (path, item.line))
        elif not _resolves_inside(root, item.module):
            place = at(path.relative_to(root), item.line)
            problems.append(f"{place} imports {item.module!r}, which is not in the application source")
    for name in sorted(find_absent(outside)):
        path, line = outside[name]
        known_as = f" (the package {DISTRIBUTIONS[name]})" if name in DISTRIBUTIONS else ""
        from difflib import get_close_matches  # loads on use: most imports are right

        near = get_close_matches(name, [file.stem for file in path.parent.glob("*.py")], n=1)
        meant = f"; is {near[0]}.py beside it meant?" if near else ""
        if near == [name]:
            meant = f"{BESIDE}{name} import ..."
        place = at(path.relative_to(root), line)
        problems.append(f"{place} imports {name!r}{known_as}, which no requirement provides{meant}")
    return tuple(problems)


def _reach(root: Path, modules: Iterable[str], own_folders: Collection[Path]) -> Iterator[tuple[Path, Import]]:
    """Every import that runs when `modules` are imported, with the file it stands in."""
    waiting = [(module, root) for module in modules]
    seen: set[Path] = set()
    while waiting:
        module, importer = waiting.pop(0)
        path = find_module(root, module) if module else None
        path = path or _find_beside(importer, module, own_folders)
        if module:
            waiting.append((module.rpartition(".")[0], importer))
        if path is None or path in seen:
            continue
        seen.add(path)
        for item in find_imports(path, module=module):
            yield path, item
            waiting += [(name, path) for name in (item.module, *(f"{item.module}.{name}" for name in item.names))]


def _find_beside(importer: Path, module: str, own_folders: Collection[Path]) -> Path | None:
    """The file of a module in the one of `own_folders` that holds the importing file."""
    own = next((folder for folder in own_folders if importer.is_relative_to(folder)), None)
    return find_module(own, module) if own and module else None


def _is_inside(root: Path, top: str) -> bool:
    folder = root / top
    return find_module(root, top) is not None or (folder.is_dir() and any(folder.rglob("*.py")))


def _resolves_inside(root: Path, module: str) -> bool:
    return find_module(root, module) is not None or root.joinpath(*module.split(".")).is_dir()


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def flatten(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module with those inside `if`, `try` and `with`, which bind names at the top level too."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With):
                yield from flatten(getattr(node, part, []))
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from flatten(handler.body)


def _bound_names(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        case ast.Assign():
            yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)) if node.value is not None:
            yield name


def _find_plain_function(path: Path, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The `def` that binds `name` last at a module's top level; None where something else does, or a decorator."""
    found = None
    for node in flatten(parse_module(path).body):
        if name in _bound_names(node):
            found = node
    if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) and not found.decorator_list:
        return found
    return None


def _needed_parameters(arguments: ast.arguments) -> tuple[list[str], list[str]]:
    """The names of the parameters that have no default: by place, and by keyword alone."""
    places = [*arguments.posonlyargs, *arguments.args]
    without = places[: len(places) - len(arguments.defaults)]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [item.arg for item in without], [item.arg for item, default in keywords if default is None]


def _read_table(node: ast.Dict) -> Mapping[tuple[str, str], str]:
    try:
        table = ast.literal_eval(node)
    except (ValueError, TypeError):
        return {}
    return {
        key: value
        for key, value in table.items()
        if isinstance(key, tuple) and len(key) == 2 and all(isinstance(part, str) for part in (*key, value))
    }
