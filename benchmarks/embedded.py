"""The embedded engine's figures, measured on a copy of this workspace in a home of its own.

    .venv/bin/python benchmarks/embedded.py [--rounds 10] [--json]

- cli start: `modelyard --help`, and as a ratio to `python -c 'import click'`
- cold: the first build of a model, its environment made (downloads come from uv's cache where they are there)
- no change, one-line change of predict.py: the whole command, start of the interpreter included
- equal requirements: the first build of a second model with the same requirements
- ready: from starting the daemon of one trained model to /readyz, as a ratio to importing and loading the model itself

Medians of the rounds; figures on a shared machine are noisy, compare the ratios.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

import processes
from processes import run_benchmark, start, stopping

ROOT = Path(__file__).resolve().parents[1]
MODELYARD = Path(sys.executable).with_name("modelyard")
PROJECT = Path("projects/finance_income_prediction")
FIRST, SECOND = PROJECT / "logisticRegression", PROJECT / "randomForest"
PORT = 5971


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-benchmark-") as folder:
        bench = Bench(Path(folder), rounds=options.rounds)
        for measure in (bench.measure_start, bench.measure_builds, bench.measure_ready):
            figures = measure()
            lines = [f"{name:34} {value}" for name, value in figures.items()]
            print(json.dumps(figures) if options.json else "\n".join(lines), flush=True)


class Bench:
    """A copy of the workspace, and the commands to measure on it."""

    def __init__(self, folder: Path, *, rounds: int) -> None:
        self.workspace = folder / "workspace"
        self.rounds = rounds
        self.environ = {**os.environ, "MODELYARD_HOME": str(folder / "home"), "MODELYARD_ENGINE": "local"}
        ignored = shutil.ignore_patterns(".git", ".venv", "models", "tests", ".*_cache")
        shutil.copytree(ROOT, self.workspace, ignore=ignored)

    def measure_start(self) -> dict[str, float]:
        """The command line's own start."""
        ours = self.median(lambda: self.modelyard("--help"))
        bare = self.median(self.start_python)
        click = self.median(lambda: run([sys.executable, "-c", "import click"], self.environ))
        return {
            "python -c pass, ms": round(bare * 1000),
            "cli start, ms": round(ours * 1000),
            "cli start / python -c pass": round(ours / bare, 2),
            "cli start / import click": round(ours / click, 2),
        }

    def measure_builds(self) -> dict[str, float]:
        """Cold, unchanged, after a one-line change, and with an environment that is there."""
        cold = timed(lambda: self.build(FIRST))
        bare = self.median(self.start_python)
        same = self.median(lambda: self.build(FIRST))
        changed = self.median(lambda: self.build(FIRST), before=lambda: self.change(FIRST))
        output = self.build(SECOND)
        if "reused" not in output or "install " in output:
            raise SystemExit(f"the second model's environment was not reused:\n{output}")
        second = self.median(lambda: self.build(SECOND), before=lambda: self.change(SECOND))
        return {
            "cold build, s": round(cold, 2),
            "python -c pass, s": round(bare, 3),
            "no-change build, s": round(same, 3),
            "no-change build / python -c pass": round(same / bare, 1),
            "one-line change, s": round(changed, 3),
            "one-line change / python -c pass": round(changed / bare, 1),
            "one-line change / cold": round(changed / cold, 3),
            "equal requirements, s": round(second, 3),
        }

    def measure_ready(self) -> dict[str, float]:
        """From start to ready, beside importing and loading the model alone, turn by turn."""
        self.modelyard("train", FIRST)
        self.build(FIRST)
        ready, alone = [], []
        for _ in range(self.rounds):
            alone.append(self.load_alone())
            ready.append(self.start_daemon())
        return {
            "import and load alone, s": round(median(alone), 3),
            "daemon ready, s": round(median(ready), 3),
            "daemon ready / alone": round(median(ready) / median(alone), 2),
        }

    def load_alone(self) -> float:
        """Import predict.py, which loads the model, in the image's own environment with the image's own source."""
        image = json.loads(self.modelyard("inspect", "finance-logistic-regression-predict"))
        root = Path(self.environ["MODELYARD_HOME"]) / "images" / image["id"]
        code = "import sys; sys.path.insert(0, sys.argv[1]); import finance_income_prediction.predict"
        python = root / "environments" / "default" / "bin" / "python"
        return timed(
            lambda: run([str(python), "-c", code, str(root / "app")], self.environ, cwd=self.workspace / PROJECT)
        )

    def start_daemon(self) -> float:
        """Start the daemon's image as it is, poll /readyz, stop it."""
        command = [str(MODELYARD), "serve", str(FIRST), "--port", str(PORT), "--name", "benchmark"]
        try:
            with stopping(start(command, cwd=self.workspace, environ=self.environ), sweeps=False) as process:
                ready = wait_until_ready(self.environ)
                process.wait(60)
        finally:
            processes.run([MODELYARD, "stop", "benchmark"], environ=self.environ, cwd=self.workspace)
        return ready

    def start_python(self) -> None:
        """What any command of Python's takes."""
        run([sys.executable, "-c", "pass"], self.environ)

    def build(self, model: Path) -> str:
        """Build the predict image; return what it printed."""
        return self.modelyard("build", model, "predict")

    def change(self, model: Path) -> None:
        """Change one line of predict.py."""
        path = self.workspace / model / "predict.py"
        text = path.read_text()
        path.write_text(f"{text.rstrip()}\n# {time.time_ns()}\n")

    def modelyard(self, *arguments: str | Path) -> str:
        """Run a command; return its output."""
        return run([str(MODELYARD), *map(str, arguments)], self.environ, cwd=self.workspace)

    def median(self, work: Callable[[], object], *, before: Callable[[], object] = int, rounds: int = 0) -> float:
        """The median time of some rounds; `before` runs outside the clock."""
        seconds = []
        for _ in range(rounds or self.rounds):
            before()
            seconds.append(timed(work))
        return median(seconds)


def wait_until_ready(environ: Mapping[str, str]) -> float:
    """Seconds from the container's start (its record's time) to the first 200 of /readyz."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=1):
                return time.time() - container_start(environ)
        except (URLError, OSError):
            time.sleep(0.005)
    raise SystemExit("the daemon was not ready after 60 s")


def container_start(environ: Mapping[str, str]) -> float:
    """When the running container was started."""
    listed = json.loads(run([str(MODELYARD), "ps", "--json"], environ))
    return next(float(_timestamp(one["created"])) for one in listed if one["name"] == "benchmark")


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(command: list[str], environ: Mapping[str, str], *, cwd: Path | None = None) -> str:
    """Run a command, return its output and diagnostics; stop where it fails."""
    done = processes.run(command, environ=environ, cwd=cwd)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout if "inspect" in command or "ps" in command else done.stdout + done.stderr


if __name__ == "__main__":
    run_benchmark(main)
