import subprocess
import sys

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import write_tree
from modelyard.context.staging import stage_combined
from modelyard.workspace import Workspace

# Asks each route of ROUTES, in one process each, and says which model directories were imported for it.
ASK = """
import importlib, sys
module, function = sys.argv[1:]
answer = getattr(importlib.import_module(module), function)(None)
print(answer, sorted(name for name in sys.modules if name.startswith("income.") and name.count(".") == 1))
"""


def ask(workspace: Workspace, root, module: str, function: str) -> str:
    combined = workspace.combined_directory(workspace.projects_root / "income")
    write_tree(generate(workspace, combined))
    context = stage_combined(workspace, combined, root)
    command = [sys.executable, "-c", ASK, module, function]
    done = subprocess.run(command, cwd=context.source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_route_loads_its_own_model_only(two_models, tmp_path):
    answer = ask(two_models(), tmp_path / "context", "income.predict", "predict_forest")
    assert answer == "forest ['income.forest', 'income.predict']"


def test_bare_package_and_model_paths_stand_side_by_side(two_models, tmp_path):
    workspace = two_models(
        {
            "projects/income/forest/.s2i/environment": "ROUTES=forest:predict:predict_forest",
            "projects/income/svm/.s2i/environment": "ROUTES=svm:income.svm.predict:predict",
            "projects/income/svm/predict.py": "from .kernel import NAME\n\ndef predict(msg):\n    return NAME\n",
            "projects/income/svm/kernel.py": "NAME = 'svm'\n",
        }
    )
    assert ask(workspace, tmp_path / "1", "predict", "predict_forest").startswith("forest ")
    assert ask(workspace, tmp_path / "2", "income.predict", "predict_boost").startswith("boost ")
    assert ask(workspace, tmp_path / "3", "income.svm.predict", "predict").startswith("svm ")
