"""The served CNN against plain Flask + gunicorn + torch, on the same cores: python benchmarks/torch_serve.py

Needs wrk. Each request has one picture. All serve the same predict function, weights and versions; the plain ones have
two gunicorn workers, one with torch's own number of threads, as people write it, one with a single thread each. Three
rounds, by turns; the medians are printed, and one JSON line. Then: how long the daemon takes until it is ready,
against importing torch and loading the weights alone.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import run, run_benchmark, run_well, start, stopping
from torch_device import free_port

from modelyard.network import read_network_profile
from modelyard.runtime.assembling.installation import install_requirements
from modelyard.runtime.assembling.installation import make_environment as make_venv

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "projects" / "mnist" / "cnn"
INSTANCES = MODEL / "test" / "test_instances.json"
NAME = "benchmark-torch-serve"
WORKERS = 2
PLAIN = """
from types import SimpleNamespace

from flask import Flask, jsonify, request

from mnist.predict import predict_digit

app = Flask(__name__)


@app.post("/mnist")
def mnist():
    return jsonify(predict_digit(SimpleNamespace(payload=request.get_json())))
"""
WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[BODY]==]
function done(summary, latency, requests)
    io.write(string.format("RESULT %f %f %f %f\\n",
        (summary.requests - summary.errors.status) / summary.duration * 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, summary.errors.status / summary.requests))
end
"""
LOAD = "import torch; from mnist.common_utils.network import make_network; from utils.model_binary import load_model; "
LOAD += "load_model('mnist_cnn', into=make_network())"


def main() -> None:
    """Measure and print."""
    options = read_options()
    if shutil.which("wrk") is None:
        sys.exit("needs wrk: apt-get install wrk, brew install wrk")
    modelyard("data", str(MODEL.parent))
    modelyard("train", str(MODEL), "--reuse")
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        modelyard("stage", str(MODEL), "predict", str(scratch / "context"))
        source = scratch / "context" / "upload" / "src"
        (source / "models").symlink_to(MODEL.parent / "models")
        (source / "plain.py").write_text(PLAIN)
        body = json.dumps({"instances": json.loads(INSTANCES.read_text())["instances"][:1]})
        (scratch / "post.lua").write_text(WRK.replace("BODY", body))
        python = make_environment(scratch / "environment")
        measure(options, python, source, scratch / "post.lua")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def measure(options: argparse.Namespace, python: Path, source: Path, script: Path) -> None:
    """Load both by turns, then time the way to ready."""
    servers: dict[str, Callable[[], AbstractContextManager[str]]] = {
        "plain": partial(serve_plain, python, source),
        "plain, one thread": partial(serve_plain, python, source, OMP_NUM_THREADS="1"),
        "modelyard": serve_modelyard,
    }
    rounds: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in servers}
    for _ in range(options.rounds):
        for kind, serve in servers.items():
            with serve() as url:
                load(url, script, connections=options.connections, seconds=1)
                time.sleep(1)  # what the first load left in the queue is answered before the clock starts
                rounds[kind].append(load(url, script, connections=options.connections, seconds=options.seconds))
                print(f"{kind}: {rounds[kind][-1][0]:.0f} answers/s", file=sys.stderr, flush=True)
    medians = {kind: [statistics.median(column) for column in zip(*runs, strict=True)] for kind, runs in rounds.items()}
    for kind, (rate, p50, p99, refused) in medians.items():
        print(f"{kind:18} {rate:8.0f} answers/s   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   refused {refused:.1%}")
    ready, loaded = time_ready(), time_load(python, source)
    print(f"ready after {ready:.2f} s; importing torch and loading the weights takes {loaded:.2f} s")
    plain, tuned, ours = (medians[kind] for kind in servers)
    figures = {
        "requests_ratio": round(ours[0] / plain[0], 2),
        "requests_ratio_one_thread": round(ours[0] / tuned[0], 2),
        "p99_ratio": round(ours[2] / plain[2], 2),
        "p99_ratio_one_thread": round(ours[2] / tuned[2], 2),
        "ready_ratio": round(ready / loaded, 2),
        "connections": options.connections,
    }
    print(json.dumps(figures))


@contextmanager
def serve_plain(python: Path, source: Path, **environ: str) -> Iterator[str]:
    """Run plain Flask under gunicorn."""
    port = free_port()
    command = [str(python), "-m", "gunicorn", "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "plain:app"]
    url = f"http://127.0.0.1:{port}/mnist"
    with stopping(start(command, cwd=source, environ={**os.environ, **environ})):
        await_answer(url)
        yield url


@contextmanager
def serve_modelyard() -> Iterator[str]:
    """Run the daemon of the model."""
    port = free_port()
    try:
        modelyard("serve", str(MODEL), "--name", NAME, "--port", str(port))
        yield f"http://127.0.0.1:{port}/mnist"
    finally:
        run([sys.executable, "-m", "modelyard", "stop", NAME], cwd=ROOT)


def load(url: str, script: Path, *, connections: int, seconds: int) -> tuple[float, ...]:
    """Return answers (200) a second, median and 99th percentile of the latency in ms, and the share refused."""
    command = ["wrk", f"-c{connections}", "-t1", f"-d{seconds}s", "-s", str(script), "--timeout", "30s", url]
    said = run_well(command, seconds=60 + 10 * seconds)
    match = re.search(r"RESULT (.*)", said)
    if match is None:
        sys.exit(f"{url}: wrk failed\n{said}")
    return tuple(float(value) for value in match[1].split())


def time_ready() -> float:
    """Seconds from the command to a daemon that is ready, its image being built already."""
    started = time.perf_counter()
    with serve_modelyard():
        return time.perf_counter() - started


def time_load(python: Path, source: Path) -> float:
    """Seconds to start Python, import torch and load the weights; the median of three."""

    def once() -> float:
        started = time.perf_counter()
        run_well([python, "-c", LOAD], cwd=source)
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(3))


def make_environment(folder: Path) -> Path:
    """Make an environment of the model's requirements as an image has them, and Flask; return its Python."""
    profile = read_network_profile(os.environ).variables
    arguments = read_build_arguments(ROOT / "builders" / "cpu.args")
    environ = {**os.environ, **profile, **arguments}
    uv = str(Path(sys.executable).with_name("uv"))
    requirements = folder.with_suffix(".txt")
    requirements.write_text((MODEL / "requirements_predict.txt").read_text() + "flask\ngunicorn\n")
    make_venv(folder, python=sys.executable, uv=uv, environ=environ)
    install_requirements(folder, requirements, uv=uv, environ=environ)
    return folder / "bin" / "python"


def read_build_arguments(path: Path) -> dict[str, str]:
    """Read the build arguments of a variant."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def modelyard(*arguments: str) -> None:
    """Run the tool; on failure show what it said."""
    run_well([sys.executable, "-m", "modelyard", *arguments], cwd=ROOT)


def await_answer(url: str) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            request = urllib.request.Request(url, INSTANCES.read_bytes(), headers={"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=60).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} does not answer")


if __name__ == "__main__":
    run_benchmark(main)
