"""No module imports one that imports it again, by however many others; an import for later or for types counts too."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def read_imports(folder: Path, base: Path) -> dict[str, set[str]]:
    """Every module below `folder`, with those of them that it imports anywhere in it."""
    paths = {".".join(path.relative_to(base).with_suffix("").parts): path for path in folder.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    return {name: set(_find_imports(name, path, modules)) for name, path in modules.items()}


def _find_imports(importer: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            found = name if name in modules else name.rpartition(".")[0]
            if found in modules and found != importer:
                yield found


def find_circle(imports: Mapping[str, set[str]]) -> list[str]:
    """The modules of one circle, in order."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize(("folder", "base"), [("src/modelyard", "src"), ("benchmarks", "benchmarks")])
def test_there_is_no_circle_of_imports(folder: str, base: str) -> None:
    imports = read_imports(ROOT / folder, ROOT / base)
    assert any(imports.values())
    assert find_circle(imports) == []


def test_a_circle_is_found_wherever_it_is_closed(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("import two")
    (tmp_path / "two.py").write_text("from three import name")
    (tmp_path / "three.py").write_text("def late():\n    from one import other")
    assert set(find_circle(read_imports(tmp_path, tmp_path))) == {"one", "two", "three"}
