"""What writing Kubernetes objects takes, and what strict validation finds.

    .venv/bin/python benchmarks/manifests.py [--models 27] [--rounds 5] [--json]

- rendered and validated: a Deployment with all that stands around it, for each of the models, validated for the newest
  Kubernetes; once in a process that has validated nothing before, then the median of the rounds
- the whole command, for as many model directories, start of the interpreter included
- typos: what is found of 20 in a rendered file, beside kubernetes-validate (strict), and kubeconform where it is there
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from processes import run, run_benchmark, run_well
from typos import TYPOS, finds_typo, render

MODELYARD = Path(sys.executable).with_name("modelyard")


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=27)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for figures in (measure_library(options.models, options.rounds), measure_command(options.models), count_typos()):
        lines = [f"{name:44} {value}" for name, value in figures.items()]
        print(json.dumps(figures) if options.json else "\n".join(lines), flush=True)


def measure_library(models: int, rounds: int) -> dict[str, Any]:
    """Seconds to render, validate and write all objects, first with cold caches."""
    from modelyard.manifests.documents import write_documents
    from modelyard.manifests.validation import check_all, choose_version

    version = choose_version(None)

    def once() -> int:
        objects = [one for number in range(models) for one in render(f"model-{number}")]
        check_all(objects, version=version)
        write_documents(objects)
        return len(objects)

    first, count = _time(once)
    spent = time.process_time()
    again = [_time(once)[0] for _ in range(rounds)]
    spent = (time.process_time() - spent) / rounds
    return {
        f"{models} models, {count} objects, the first time": f"{first:.2f} s",
        f"{models} models, {count} objects, median of {rounds}": f"{median(again):.2f} s ({spent:.2f} s of CPU)",
    }


def measure_command(models: int) -> dict[str, Any]:
    """Seconds of the whole command on a workspace of small models."""
    with tempfile.TemporaryDirectory(prefix="modelyard-benchmark-") as folder:
        root = Path(folder)
        (root / "builders").mkdir()
        directories = []
        for number in range(models):
            model = root / "projects/many" / f"m{number}"
            (model / ".s2i").mkdir(parents=True)
            (model / ".s2i/environment").write_text(f"ROUTES=m{number}:many.m{number}.predict:predict\n")
            (model / "predict.py").write_text("def predict(msg):\n    return {}\n")
            directories.append(str(model.relative_to(root)))
        command = [str(MODELYARD), "manifests", *directories, "--registry", "registry.example/many", "--allow-tag"]
        seconds, _ = _time(lambda: run_well(command, cwd=root))
    return {f"modelyard manifests, {models} model directories": f"{seconds:.2f} s"}


def count_typos() -> dict[str, Any]:
    """How many of the typos each finds."""
    from modelyard.manifests.documents import write_documents

    text = write_documents(render("income-rf"))
    spoilt = {name: text.replace(right, wrong, 1) for name, (right, wrong) in TYPOS.items()}
    assert text not in spoilt.values(), [name for name, one in spoilt.items() if one == text]
    finders: dict[str, Callable[[str], bool]] = {"modelyard": finds_typo, "kubernetes-validate": _validate_finds}
    if shutil.which("kubeconform"):
        finders["kubeconform"] = _kubeconform_finds
    figures = {}
    for finder, finds in finders.items():
        missed = [name for name, one in spoilt.items() if not finds(one)]
        assert not finds(text), f"{finder} finds a mistake where there is none"
        told = f"; not: {', '.join(missed)}" if missed else ""
        figures[f"typos found by {finder}"] = f"{len(spoilt) - len(missed)} of {len(spoilt)}{told}"
    return figures


def _validate_finds(text: str) -> bool:
    """kubernetes-validate as its command does it; a kind that it does not know it passes over with a warning."""
    import kubernetes_validate
    import yaml

    for one in yaml.safe_load_all(text):
        try:
            kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError:
            return True
        except kubernetes_validate.SchemaNotFoundError:
            continue
    return False


def _kubeconform_finds(text: str) -> bool:
    command = ["kubeconform", "-strict", "-ignore-missing-schemas", "-"]
    return run(command, given=text.encode()).returncode != 0


def _time(do: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = do()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    run_benchmark(main)
