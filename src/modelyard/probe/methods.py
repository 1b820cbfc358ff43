"""What a model's code says of how it is to be run in a cluster; it is read, never imported."""

import ast
from typing import Literal

from modelyard.runtime.assembling.inspection import find_module
from modelyard.runtime.routes import Route
from modelyard.workspace import ModelDirectory

_TYPES: tuple[tuple[str, Literal["MODEL", "ROUTER", "COMBINER", "TRANSFORMER", "OUTPUT_TRANSFORMER"]], ...] = (
    ("predict", "MODEL"),
    ("route", "ROUTER"),
    ("aggregate", "COMBINER"),
    ("transform_input", "TRANSFORMER"),
    ("transform_output", "OUTPUT_TRANSFORMER"),
)


def find_unit_type(
    model: ModelDirectory, route: Route
) -> Literal["MODEL", "ROUTER", "COMBINER", "TRANSFORMER", "OUTPUT_TRANSFORMER"]:
    """MODEL for a function and a class that predicts, else what its methods say; inherited ones are not seen."""
    path = find_module(model.path, route.module.rpartition(".")[2])
    if path is None:
        return "MODEL"
    tree = ast.parse(path.read_bytes())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == route.function]
    methods = {
        node.name.removesuffix("_raw")
        for one in classes
        for node in one.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return next((type_ for method, type_ in _TYPES if method in methods), "MODEL")


def imports_kubeml(model: ModelDirectory) -> bool:
    """Whether the train module is one of kubeml's, whose workers torchrun starts."""
    module, _ = model.train_entry
    path = find_module(model.path, module.rpartition(".")[2])
    if path is None:
        return False
    named = {
        name
        for node in ast.walk(ast.parse(path.read_bytes()))
        for name in (
            [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return any(name.partition(".")[0] == "kubeml" for name in named)
