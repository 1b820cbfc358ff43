"""What can be told of Python files without running them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from modelyard.runtime.assembling.inspection import (
    check_entry,
    find_functions,
    find_imports,
    find_lazy_functions,
    find_missing_imports,
    find_module,
)
from modelyard.runtime.errors import InputError

GENERATED = """\
TABLE = {("income.predict", "rf"): "income.forest.predict"}
def __getattr__(name):
    raise AttributeError(name)
"""


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def missing(root: Path, *modules: str, installed: tuple[str, ...] = ("json",)) -> tuple[str, ...]:
    return find_missing_imports(root, modules, lambda names: [name for name in names if name not in installed])


def test_functions_are_all_names_bound_at_the_top(tmp_path):
    text = """\
import os.path, numpy as np
from a import b as c
def f(): inner = 1
async def g(): pass
class H: pass
first, (second, *rest) = 1, (2, 3)
typed: int = 1
declared: int
if True:
    def conditional(): pass
try:
    import json
except ImportError:
    json = None
"""
    names = find_functions(write(tmp_path, {"m.py": text}) / "m.py")
    assert set(names) == {
        *("os", "np", "c", "f", "g", "H", "first", "second", "rest", "typed", "conditional", "json"),
    }
    assert names["f"] == 3


def test_guarded_imports_may_be_missing(tmp_path):
    text = """\
from typing import TYPE_CHECKING
import pandas
if TYPE_CHECKING:
    import torch
try:
    import orjson
except ImportError:
    orjson = None
def f():
    import xgboost
"""
    imports = find_imports(write(tmp_path, {"m.py": text}) / "m.py", module="m")
    assert [(item.module, item.line) for item in imports] == [("typing", 1), ("pandas", 2)]


@pytest.mark.parametrize(
    ("file", "module", "line", "absolute"),
    [
        ("a/b/m.py", "a.b.m", "from .c import x", "a.b.c"),
        ("a/b/m.py", "a.b.m", "from . import x", "a.b"),
        ("a/b/m.py", "a.b.m", "from ..c import x", "a.c"),
        ("a/b/__init__.py", "a.b", "from .c import x", "a.b.c"),
        ("m.py", "m", "from c.d import x", "c.d"),
    ],
)
def test_relative_imports_become_absolute(tmp_path, file, module, line, absolute):
    root = write(tmp_path, {file: line})
    assert [item.module for item in find_imports(root / file, module=module)] == [absolute]


def test_package_hides_a_module_of_its_name(tmp_path):
    root = write(tmp_path, {"a/__init__.py": "", "a.py": "", "b.py": ""})
    assert find_module(root, "a") == root / "a/__init__.py"
    assert find_module(root, "b") == root / "b.py"
    assert find_module(root, "c") is None


def test_entry_that_exists_gives_its_file(tmp_path):
    root = write(tmp_path, {"income/predict.py": "def rf(msg): pass"})
    assert check_entry(root, "income.predict", "rf", place="env:1") == root / "income/predict.py"


def test_missing_module_and_missing_function_name_the_place(tmp_path):
    root = write(tmp_path, {"predict.py": "import json\ndef rf(msg): pass\nclass Model: pass\n_x = 1"})
    with pytest.raises(InputError, match=r"env:1: no module income\.predict, there is no income/predict\.py"):
        check_entry(root, "income.predict", "rf", place="env:1")
    with pytest.raises(InputError, match=r"env:2: predict.py defines no 'fr' \(it defines rf, Model\)"):
        check_entry(root, "predict", "fr", place="env:2")


def test_an_async_function_is_told_with_its_line_unless_a_decorator_runs_it(tmp_path):
    source = "import asyncio\nasync def rf(msg): pass\n@asyncio.run_it\nasync def xgb(msg): pass"
    root = write(tmp_path, {"income/predict.py": source})
    with pytest.raises(InputError, match=r"^income/predict\.py:2: rf is async, which a worker does not await"):
        check_entry(root, "income.predict", "rf", place="env:1")
    check_entry(root, "income.predict", "xgb", place="env:1")


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("def rf(msg, model): pass", "msg, model"),
        ("def rf(msg, *, model): pass", "msg, model"),
        ("def rf(*, msg): pass", "msg"),
        ("if True:\n    def rf(a, b, c=1): pass", "a, b"),
    ],
)
def test_a_function_that_needs_more_than_the_message_is_told_with_its_line(tmp_path, source, needed):
    root = write(tmp_path, {"income/predict.py": f"import json\n{source}\n"})
    line = 3 if source.startswith("if") else 2
    with pytest.raises(InputError, match=rf"^income/predict\.py:{line}: rf needs {needed}, but is called with one"):
        check_entry(root, "income.predict", "rf", place="env:1")


@pytest.mark.parametrize(
    "source",
    [
        "def rf(): pass",
        "def rf(msg, model=None): pass",
        "def rf(*args, **kwargs): pass",
        "def rf(a, b): pass\nrf = print",
        "import app\n@app.inject\ndef rf(msg, model): pass",
        "class rf:\n    def __init__(self, a, b): pass",
    ],
)
def test_what_can_be_called_with_one_message_or_without_passes(tmp_path, source):
    root = write(tmp_path, {"income/predict.py": source})
    check_entry(root, "income.predict", "rf", place="env:1")


def test_of_many_functions_the_nearest_are_named(tmp_path):
    source = "".join(f"def predict_{number}(msg): pass\n" for number in range(26))
    root = write(tmp_path, {"predict.py": source})
    with pytest.raises(InputError, match=r"defines predict_7, .*, .* and 23 others"):
        check_entry(root, "predict", "predict7", place="env:1")


def test_syntax_error_names_its_line(tmp_path):
    root = write(tmp_path, {"predict.py": "x = 1\ndef rf(msg:\n"})
    with pytest.raises(InputError, match=r"predict.py:2: "):
        check_entry(root, "predict", "rf", place="env:1")


def test_generated_table_defines_functions(tmp_path):
    root = write(tmp_path, {"income/predict.py": GENERATED})
    assert find_lazy_functions(root / "income/predict.py") == {("income.predict", "rf"): "income.forest.predict"}
    check_entry(root, "income.predict", "rf", place="env:1")
    with pytest.raises(InputError, match="defines no 'xgb'"):
        check_entry(root, "income.predict", "xgb", place="env:1")


def test_table_without_getattr_defines_nothing(tmp_path):
    root = write(tmp_path, {"predict.py": GENERATED.partition("def")[0]})
    assert find_lazy_functions(root / "predict.py") == {}


def test_missing_requirement_names_file_line_and_package(tmp_path):
    root = write(tmp_path, {"a/__init__.py": "", "a/predict.py": "import json\n\nimport sklearn.linear_model\n"})
    assert missing(root, "a.predict") == (
        "a/predict.py:3 imports 'sklearn' (the package scikit-learn), which no requirement provides",
    )


def test_a_misspelt_file_of_ones_own_is_recognised(tmp_path):
    root = write(tmp_path, {"a/__init__.py": "", "a/predict.py": "import featurs\n", "a/features.py": ""})
    assert missing(root, "a.predict") == (
        "a/predict.py:1 imports 'featurs', which no requirement provides; is features.py beside it meant?",
    )


def test_a_module_beside_that_is_imported_bare_says_what_to_write(tmp_path):
    root = write(tmp_path, {"a/__init__.py": "", "a/train.py": "from net import Net\n", "a/net.py": ""})
    assert missing(root, "a.train") == (
        "a/train.py:1 imports 'net', which no requirement provides; the module beside it is meant: "
        "write from .net import ...",
    )


def test_imports_are_followed_through_the_source_and_each_parent_package(tmp_path):
    files = {
        "a/__init__.py": "import one",
        "a/predict.py": "from .sub import thing\nimport b",
        "a/sub/__init__.py": "from a.sub import thing",
        "a/sub/thing.py": "import two",
        "b.py": "import three",
        "unused.py": "import four",
    }
    problems = missing(write(tmp_path, files), "a.predict")
    assert [line.split(" ")[0] for line in problems] == ["a/__init__.py:1", "b.py:1", "a/sub/thing.py:1"]


def test_import_of_a_module_that_is_not_staged(tmp_path):
    root = write(tmp_path, {"a/__init__.py": "", "a/predict.py": "from a.encoder import f"})
    assert missing(root, "a.predict") == ("a/predict.py:1 imports 'a.encoder', which is not in the application source",)


def test_imports_that_go_round_end(tmp_path):
    root = write(tmp_path, {"a.py": "import b", "b.py": "import a"})
    assert missing(root, "a") == ()


def test_own_module_comes_before_an_installed_one(tmp_path):
    root = write(tmp_path, {"predict.py": "import utils", "utils/__init__.py": ""})
    assert missing(root, "predict") == ()


def test_a_bare_import_is_found_in_the_folder_of_its_own_model_only(tmp_path):
    root = write(
        tmp_path,
        {
            "p/a/predict.py": "import features",
            "p/a/features.py": "import gone",
            "p/b/predict.py": "import features",
        },
    )
    own = {"own_folders": [root / "p/a", root / "p/b"]}
    assert find_missing_imports(root, ["p.a.predict", "p.b.predict"], list, **own) == (
        "p/b/predict.py:1 imports 'features', which no requirement provides",
        "p/a/features.py:1 imports 'gone', which no requirement provides",
    )
