"""What healthy routes notice of the others' faults, and whether every request gets a true status.

    .venv/bin/python benchmarks/faults.py [--seconds 10] [--faults kill hang leak overload slow stop] [--json]

One daemon with a healthy route, `double`, and a faulty one. First the healthy route is loaded alone; then once for each
fault, which is caused meanwhile:

- kill: SIGKILL for the faulty route's worker every second, under load
- hang: requests that never end, with REQUEST_TIMEOUT=2
- leak: a route that keeps 20 MB a request, with MEMORY_LIMIT=200M
- overload: more clients at the faulty route than its queue takes
- slow: 1,000 clients that send a byte a second
- stop: SIGTERM under load, last

Counts the statuses of each route, answers that were wrong, and requests that got no answer (`lost`).
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
PORT = 5986
TRUE = {200, 429, 502, 503, 504}
GOOD = """
def double(msg):
    return {"doubled": [2 * value for [value] in msg.payload["instances"]]}
"""
BAD = """
import os, time
kept = []
def pid(msg):
    return os.getpid()
def work(msg):
    time.sleep(0.005)
    return {"doubled": [2 * value for [value] in msg.payload["instances"]]}
def hang(msg):
    while msg.payload.get("instances"):
        pass
def leak(msg):
    kept.append(bytearray(20 << 20 if "instances" in msg.payload else 0))
    return {"doubled": [2 * value for [value] in msg.payload["instances"]]}
"""
NAMES = {"good": ["double"], "bad": ["pid", "work", "hang", "leak"]}


def main() -> None:
    """Cause the faults and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--faults", nargs="+", default=["kill", "hang", "leak", "overload", "slow", "stop"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(prefix="my-faults-") as folder:
        for fault in ["none", *options.faults]:
            with daemon(Path(folder, fault)) as process:
                figures.append({"fault": fault, **asyncio.run(cause(fault, process, options.seconds))})
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    alone = figures[0]["healthy p99 ms"]
    for one in figures:
        one["p99 / alone"] = round(one["healthy p99 ms"] / alone, 2)
        print("  ".join(f"{name}: {value}" for name, value in one.items()))


class Load:
    """Clients in a closed loop at one route, each on a kept connection."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.wrong = 0
        self.lost = 0
        self.is_over = False

    async def run(self, clients: int, *, pause: float = 0.0) -> None:
        """Ask until it is over."""
        await asyncio.gather(*(self._ask(pause) for _ in range(clients)))

    async def _ask(self, pause: float) -> None:
        connection = None
        while not self.is_over:
            value = random.randrange(1 << 30)
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", PORT)
            except OSError:
                return  # the daemon has stopped: this request was never accepted
            started = time.perf_counter()
            try:
                status, body = await request(*connection, self.route, {"instances": [[value]]})
            except (OSError, asyncio.IncompleteReadError) as error:
                # A kept connection may be closed while it is idle; a request that got half an answer is lost.
                self.lost += bool(getattr(error, "partial", b""))
                connection = None
                continue
            self.seconds.append(time.perf_counter() - started)
            self.statuses[status] += 1
            self.wrong += status == 200 and json.loads(body) != {"doubled": [2 * value]}
            await asyncio.sleep(pause)


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: str, payload: object
) -> tuple[int, bytes]:
    """Send one request and read its answer."""
    body = json.dumps(payload).encode()
    writer.write(b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (route.encode(), len(body), body))
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return int(head.split(b" ")[1]), await reader.readexactly(length)


async def cause(fault: str, process: "subprocess.Popen[bytes]", seconds: float) -> dict[str, object]:
    """Load the healthy route, cause a fault, and tell what came of it."""
    healthy = Load("double")
    faulty = Load({"hang": "hang", "leak": "leak"}.get(fault, "work"))
    tasks = [asyncio.create_task(healthy.run(4, pause=0.005))]
    if fault not in ("none", "slow"):
        tasks.append(asyncio.create_task(faulty.run(200 if fault == "overload" else 8, pause=0.002)))
    if fault == "kill":
        tasks.append(asyncio.create_task(kill_workers(healthy)))
    if fault == "slow":
        tasks += [asyncio.create_task(be_slow(healthy)) for _ in range(1000)]
    await asyncio.sleep(seconds / 2 if fault == "stop" else seconds)
    exit_code = None
    if fault == "stop":
        process.terminate()
        exit_code = await asyncio.to_thread(process.wait, 30)
    healthy.is_over = faulty.is_over = True
    await asyncio.gather(*tasks)
    times = sorted(healthy.seconds)
    statuses = {load.route: dict(load.statuses) for load in (healthy, faulty) if load.statuses}
    untrue = sum(n for load in (healthy, faulty) for status, n in load.statuses.items() if status not in TRUE)
    return {
        "healthy p50 ms": round(times[len(times) // 2] * 1e3, 2),
        "healthy p99 ms": round(times[int(len(times) * 0.99)] * 1e3, 2),
        "statuses": statuses,
        "wrong": healthy.wrong + faulty.wrong,
        "lost": healthy.lost + faulty.lost,
        "untrue": untrue,
        **({} if exit_code is None else {"exit code": exit_code}),
    }


async def kill_workers(load: Load) -> None:
    """Kill the faulty route's worker every second."""
    while not load.is_over:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            status, body = await request(reader, writer, "pid", {})
            writer.close()
            if status == 200:
                os.kill(json.loads(body), signal.SIGKILL)
        await asyncio.sleep(1)


async def be_slow(load: Load) -> None:
    """Send a request a byte a second."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for byte in b"POST /double HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 3600:
            if load.is_over:
                return
            writer.write(bytes([byte]))
            await asyncio.sleep(1)


@contextmanager
def daemon(root: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a daemon while inside."""
    environments = root / "environments"
    for name in ("default", "gateway"):
        (environments / name / "bin").mkdir(parents=True)
        python = environments / name / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    (root / ".s2i").mkdir()
    instances = json.dumps({"instances": [[1], [2], [3]]})
    models = []
    for name, routes in NAMES.items():
        (root / f"{name}.json").write_text(
            instances if name == "good" else '{"note": "no rows: nothing hangs or leaks at warm-up"}'
        )
        models.append(
            {"name": name, "path": ".", "environment": "default", "routes": routes, "instances": f"{name}.json"}
        )
    document = {"schema": 1, "name": "faults", "kind": "predict", "models": models}
    (root / ".s2i" / "application.json").write_text(json.dumps(document))
    (root / "good.py").write_text(GOOD)
    (root / "bad.py").write_text(BAD)
    environ: Mapping[str, str] = {
        **os.environ,
        "APP_ROOT": str(root),
        "MODELYARD_LIB": str(ROOT / "src"),
        "MODELYARD_ENVIRONMENTS": str(environments),
        "ROUTES": ",".join(f"{route}:{name}:{route}" for name, routes in NAMES.items() for route in routes),
        "HOST": "127.0.0.1",
        "PORT": str(PORT),
        "REQUEST_TIMEOUT": "2",
        "MEMORY_LIMIT": "leak=200M",
        "BATCH_SIZE": "64,hang=1,leak=1,pid=1",
    }
    script = ROOT / "builders" / "daemon" / "s2i" / "bin" / "run"
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(["bash", str(script)], env=environ, stdout=log, stderr=log)
    try:
        wait_until_ready()
        yield process
    finally:
        process.terminate()
        process.wait(40)


def wait_until_ready() -> None:
    """Poll /readyz."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("the daemon was not ready after 30 s")


if __name__ == "__main__":
    main()
