"""Torch models on one device: our daemon and plain Flask + gunicorn, the same predict function behind both.

    python benchmarks/torch_device.py [--device cuda] [--models cnn resnet50] [--connections 64] [--seconds 5]
                                      [--rounds 3] [--autocast]

Needs torch, Flask and gunicorn in the Python that runs it, and nothing else: no network, no image, no load generator.
`cnn` is the network of projects/mnist with 28 x 28 grey pixels, `resnet50` one with ResNet-50's layers, 224 x 224 in
colour, which travels as 56 x 56 pixels and is enlarged on the device. Weights are random: they cost the same. Plain
Flask has two workers, each with the model on the device. Each request has one picture; the servers take turns, medians
of the rounds count. Answers are compared with those of the function alone before anything is measured.
"""

import argparse
import asyncio
import base64
import json
import math
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import Request, urlopen

from applications import ROOT, RUN, lay_out
from processes import run_benchmark, run_well, start, stopping

PEERS = ROOT / "benchmarks" / "peers"
SIDES = {"cnn": (28, 28, 1), "resnet50": (56, 56, 3)}
CLIENTS = 4
TOLERANCE = {False: 1e-2, True: 1e-1}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", nargs="+", default=["cnn", "resnet50"], choices=SIDES)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--autocast", action="store_true", help="bfloat16 in both")
    options = parser.parse_args()
    environ = {
        **os.environ,
        "DEVICE": options.device,
        "AUTOCAST": str(int(options.autocast)),
        "PYTHONPATH": os.pathsep.join(map(str, (PEERS, ROOT, ROOT / "projects"))),
    }
    for model in options.models:
        bodies = make_bodies(model)
        expected = ask_function(model, bodies[0], environ)
        runs: dict[str, list[tuple[float, float, float]]] = {"daemon": [], "flask": []}
        for _ in range(options.rounds):
            for peer, serve in (("daemon", serve_daemon), ("flask", serve_flask)):
                with serve(model, bodies[0], environ) as port:
                    answer = ask(f"http://127.0.0.1:{port}/{model}", bodies[0])
                    check(peer, answer, expected, tolerance=TOLERANCE[options.autocast])
                    load(port, model, bodies, connections=options.connections, seconds=1.0)
                    found = load(port, model, bodies, connections=options.connections, seconds=options.seconds)
                    runs[peer].append(found)
                    print(f"{model} {peer}, round {len(runs[peer])}: {found[0]:.0f}/s", file=sys.stderr, flush=True)
        report(model, runs)


def make_bodies(model: str) -> list[bytes]:
    """Requests of one picture each."""
    height, width, channels = SIDES[model]
    generator = random.Random(0)
    size = height * width * channels
    pictures = [bytes(generator.choices(range(16 * number, 16 * number + 16), k=size)) for number in range(16)]
    return [json.dumps({"instances": [base64.b64encode(picture).decode()]}).encode() for picture in pictures]


def ask_function(model: str, body: bytes, environ: dict[str, str]) -> list[float]:
    """What the function answers by itself."""
    code = "import json, sys, torch_nets; print(json.dumps(torch_nets.predict(sys.argv[1], json.load(sys.stdin))))"
    said = run_well([sys.executable, "-c", code, model], given=body, environ=environ)
    scores: list[float] = json.loads(said)["scores"][0]
    return scores


def check(peer: str, answer: dict[str, list[list[float]]], expected: list[float], *, tolerance: float) -> None:
    """End where a server's scores are not the function's."""
    scores = answer["scores"][0]
    if len(scores) != len(expected) or not all(
        math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) for a, b in zip(scores, expected, strict=True)
    ):
        raise SystemExit(f"{peer} answers {scores[:3]}..., the function {expected[:3]}...")


@contextmanager
def serve_daemon(model: str, body: bytes, environ: dict[str, str]) -> Iterator[int]:
    """Our daemon, as the builder image's run script starts it, in the environment that runs this."""
    with tempfile.TemporaryDirectory(prefix="torch-device-") as name:
        folder = Path(name)
        port = free_port()
        ours = {**environ, **lay_out_daemon(folder, model, port)}
        with serving(RUN, folder, ours, f"http://127.0.0.1:{port}/{model}", body):
            with urlopen(f"http://127.0.0.1:{port}/routes", timeout=10) as response:
                print(f"{model}: batching is {json.load(response)['routes'][0]['batching']}", flush=True)
            yield port


def lay_out_daemon(folder: Path, model: str, port: int) -> dict[str, str]:
    """Lay an application out, and return the variables with which the daemon serves it."""
    instances = [json.loads(other)["instances"][0] for other in make_bodies(model)[:4]]
    (folder / "instances.json").write_text(json.dumps({"instances": instances}))
    functions = "\n".join(f"def {name}(msg): return predict({name!r}, msg.payload)" for name in SIDES)
    (folder / "torch_app.py").write_text(f"from torch_nets import predict\n{functions}\n")
    models = [{"name": model, "routes": [model], "instances": "instances.json"}]
    variables = lay_out(folder, models, prefix=sys.prefix, routes=f"{model}:torch_app:{model}", port=port)
    # Cards convolve with other algorithms for other batches, in 19 bits (TF32): the third digit differs.
    return {**variables, "BATCH_TOLERANCE": "1e-2"}


@contextmanager
def serve_flask(model: str, body: bytes, environ: dict[str, str]) -> Iterator[int]:
    """Plain Flask + gunicorn with two workers."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", "torch_nets:app"]
    url = f"http://127.0.0.1:{port}/{model}"
    with tempfile.TemporaryDirectory(prefix="torch-device-") as name, serving(command, Path(name), environ, url, body):
        yield port


@contextmanager
def serving(command: list[str], folder: Path, environ: dict[str, str], url: str, body: bytes) -> Iterator[None]:
    """Run a server that answers while inside."""
    with (folder / "log").open("wb") as log:
        process = start(command, cwd=folder, environ=environ, log=log)
    with stopping(process):
        deadline = time.monotonic() + 300
        while True:
            with suppress(URLError, OSError):
                ask(url, body)
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"{url} does not answer\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)
        yield


def ask(url: str, body: bytes) -> dict[str, list[list[float]]]:
    """Send one request."""
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=120) as response:
        answer: dict[str, list[list[float]]] = json.load(response)
    return answer


def load(port: int, model: str, bodies: list[bytes], *, connections: int, seconds: float) -> tuple[float, float, float]:
    """Ask over many connections, each as soon as it is answered; return answers a second, and p50 and p99 in ms."""
    shares = [len(range(number, connections, CLIENTS)) for number in range(min(CLIENTS, connections))]
    with ProcessPoolExecutor(len(shares)) as pool:
        parts = [pool.submit(ask_steadily, port, model, bodies, share, seconds) for share in shares]
        taken = sorted(one for part in parts for one in part.result())
    return len(taken) / seconds, taken[len(taken) // 2] * 1e3, taken[len(taken) * 99 // 100] * 1e3


def ask_steadily(port: int, model: str, bodies: list[bytes], connections: int, seconds: float) -> list[float]:
    """One client process's part: the seconds that each answer took."""

    async def go_on(number: int) -> list[float]:
        head = f"POST /{model} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        taken = []
        reader = writer = None
        while time.monotonic() < end:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert reader is not None
            body = bodies[(number + len(taken)) % len(bodies)]
            started = time.monotonic()
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            taken.append(time.monotonic() - started)
            if not answer.startswith(b"http/1.1 200"):
                raise SystemExit(f"an answer that is none: {answer.decode()}")
            if b"connection: close" in answer:  # gunicorn's sync workers keep none
                writer.close()
                writer = None
        return taken

    async def go() -> list[float]:
        found = await asyncio.gather(*map(go_on, range(connections)))
        return [one for taken in found for one in taken]

    end = time.monotonic() + seconds
    return asyncio.run(go())


def report(model: str, runs: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print the medians of a model, and our rate beside plain Flask's."""
    medians = {peer: [median(column) for column in zip(*found, strict=True)] for peer, found in runs.items()}
    for peer, (rate, p50, p99) in medians.items():
        ratio = f"ours/this {medians['daemon'][0] / rate:.2f}"
        print(f"{model:9} {peer:7} {rate:8.0f}/s  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms  {ratio}", flush=True)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    run_benchmark(main)
