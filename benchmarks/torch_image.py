"""How large the predict image of projects/mnist/cnn is, beside its wheels: python benchmarks/torch_image.py [engine]

The wheels are what uv installs of the model's requirements into an empty environment, modules compiled, as an image has
them. `own` leaves out the base image, which every image of an engine shares; the embedded engine has none.
"""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import run_benchmark, run_well
from torch_serve import MODEL, ROOT, read_build_arguments

from modelyard.network import read_network_profile
from modelyard.runtime.assembling.installation import install_requirements, make_environment

MODELYARD = Path(sys.executable).with_name("modelyard")


def main() -> None:
    """Build, measure and print."""
    engine = sys.argv[1] if len(sys.argv) > 1 else "local"
    tag = "benchmark-torch-image"
    run("build", str(MODEL), "predict", "--tag", tag, "--engine", engine)
    bill = json.loads(run("inspect", tag, "--size", "--json", "--engine", engine))
    print(f"image: {bill['size'] / 1e6:.0f} MB", file=sys.stderr, flush=True)
    own = sum(layer["size"] for layer in bill["layers"] if ":" in layer["title"].partition(" ")[0])
    wheels = measure_wheels()
    figures = {
        "engine": engine,
        "image, MB": round(bill["size"] / 1e6),
        "wheels installed, MB": round(wheels / 1e6),
        "image / wheels": round(bill["size"] / wheels, 3),
        "own layers / wheels": round(own / wheels, 3),
    }
    print(json.dumps(figures))


def measure_wheels() -> int:
    """Bytes of the files that the model's wheels install."""
    environ = {**os.environ, **read_network_profile(os.environ).variables}
    environ |= read_build_arguments(ROOT / "builders" / "cpu.args")
    uv = str(Path(sys.executable).with_name("uv"))
    with TemporaryDirectory() as folder:
        environment = make_environment(Path(folder, "environment"), python=sys.executable, uv=uv, environ=environ)
        before = count_bytes(environment)
        install_requirements(environment, MODEL / "requirements_predict.txt", uv=uv, environ=environ)
        return count_bytes(environment) - before


def count_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def run(*arguments: str) -> str:
    """Run the tool; on failure show what it said."""
    return run_well([MODELYARD, *arguments], cwd=ROOT)


if __name__ == "__main__":
    run_benchmark(main)
