"""How long generating an all/ takes: python benchmarks/generate.py [model directories].

Makes a workspace in a temporary folder, generates its all/ three times in a fresh state and once unchanged, and prints
the medians and one JSON line. The package index is not asked: an unchanged union of requirements never is.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import run_benchmark

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import check_tree, write_tree
from modelyard.workspace import Workspace

PREDICT = '''"""Predict."""

import os

from common_utils.encoder import encode
from income.common_utils.answer import answer

from .features import names

MODEL_NAME = os.environ.get("MODEL_NAME", "model")


def predict_{number}(msg):
    """Answer."""
    return answer(encode(msg.payload, names()))
'''


def make_workspace(root: Path, count: int) -> Workspace:
    """Write `count` model directories of one project, with shared packages that each of them imports."""
    for folder in ("builders", "common_utils", "projects/income/common_utils"):
        (root / folder).mkdir(parents=True)
    (root / "common_utils/encoder.py").write_text("def encode(payload, names):\n    return payload\n")
    (root / "projects/income/common_utils/answer.py").write_text("def answer(value):\n    return value\n")
    for number in range(count):
        model = root / f"projects/income/model_{number:04}"
        (model / ".s2i").mkdir(parents=True)
        (model / ".s2i/environment").write_text(
            f"ROUTES=income-{number}:income.predict:predict_{number}\nTRAIN_MODULE=income.train\nLOG_LEVEL=info\n"
        )
        (model / "predict.py").write_text(PREDICT.format(number=number))
        (model / "features.py").write_text("def names():\n    return []\n")
        (model / "requirements_predict.txt").write_text(f"numpy>=2.0,<3\nscikit-learn>=1.{number % 5},<2\nskops\n")
        (model / "setup.sh").write_text("apt-get install -y libgomp1\n")
    return Workspace(root)


def time_generation(count: int) -> dict[str, float]:
    """Seconds to generate and write, and to find that nothing changed."""
    with TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder).resolve(), count)
        project = workspace.projects_root / "income"
        started = time.perf_counter()
        write_tree(generate(workspace, workspace.combined_directory(project)))
        written = time.perf_counter()
        check_tree(generate(workspace, workspace.combined_directory(project)))
        return {"generate": written - started, "check": time.perf_counter() - written}


def main() -> None:
    """Print the medians of three runs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    runs = []
    for _ in range(3):
        runs.append(time_generation(count))
        print(f"a round: {runs[-1]['generate']:.3f} s", file=sys.stderr, flush=True)
    medians = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    print(f"all/ of {count} model directories: {medians['generate']} s, unchanged: {medians['check']} s")
    print(json.dumps({"benchmark": "generate", "model_directories": count, "seconds": medians}))


if __name__ == "__main__":
    run_benchmark(main)
