"""What healthy routes notice of the others' faults, and whether every request gets a true status.

    .venv/bin/python benchmarks/faults.py [--seconds 60] [--faults kill hang leak overload slow stop] [--json]

For each fault there is a daemon of two models that import scikit-learn and pandas, as models do. Half of the time a
calm twin of the fault is under way, with the same clients at the same rate; then the fault itself. So what is compared
is what the fault does to the healthy route, `double`, not what the clients' own share of the machine does.

- kill: SIGKILL for the faulty route's worker every second; calm: none
- hang: requests that never end, with REQUEST_TIMEOUT=2; calm: requests that compute as much, and end
- leak: a route that keeps 20 MB a request, with MEMORY_LIMIT=400M; calm: one that keeps nothing
- overload: three times the requests that a route can answer; calm: as many, to a route that can
- slow: 1,000 clients that send a byte a second; calm: 1,000 that send nothing
- stop: SIGTERM; calm: none

Counts the statuses of each route in the second half, answers that were wrong, and requests that got no answer
(`lost`): a connection that is closed before the first byte of an answer counts, one that is refused after SIGTERM does
not.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from applications import RUN, lay_out
from bench import CACHE, has_environment
from processes import run_benchmark, start, stopping

if TYPE_CHECKING:
    import subprocess

PORT = 5986
_SETTLING = 5.0  # the worker that came first is replaced by a fork
TRUE = {200, 429, 502, 503, 504}
FAULTS = ("kill", "hang", "leak", "overload", "slow", "stop")
GOOD = """
import pandas, sklearn.linear_model
def double(msg):
    return {"doubled": [2 * value for [value] in msg.payload["instances"]]}
"""
BAD = """
import os, time
import pandas, sklearn.linear_model
kept = []
def answer(msg):
    return {"doubled": [2 * value for [value] in msg.payload["instances"]]}
def pid(msg):
    return os.getpid()
def work(msg):
    time.sleep(0.005)
    return answer(msg)
def compute(msg):
    until = time.monotonic() + 1.0
    while "instances" in msg.payload and time.monotonic() < until:
        pass
    return answer(msg)
def hang(msg):
    while "instances" in msg.payload:
        pass
def leak(msg):
    kept.append(bytearray(20 << 20 if "instances" in msg.payload else 0))
    return work(msg)
"""
NAMES = {"good": ["double"], "bad": ["pid", "work", "narrow", "compute", "hang", "leak"]}
# By fault: the route of the faulty half, that of the calm half, and the requests a second.
LOADS = {
    "kill": ("work", "work", 100),
    "hang": ("hang", "compute", 8),
    "leak": ("leak", "work", 5),
    "overload": ("narrow", "work", 500),
    "slow": (None, None, 0),
    "stop": ("work", "work", 100),
}


def main() -> None:
    """Cause the faults and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--faults", nargs="+", default=FAULTS, choices=FAULTS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not has_environment("models"):
        raise SystemExit(1)
    with tempfile.TemporaryDirectory(prefix="my-faults-") as folder:
        for fault in options.faults:
            with daemon(Path(folder, fault)) as process:
                found = {"fault": fault, **asyncio.run(compare(fault, process, options.seconds / 2))}
            line = "  ".join(f"{name}: {value}" for name, value in found.items())
            print(json.dumps(found) if options.json else line, flush=True)


class Load:
    """Requests at one route, on connections that are kept; `pause` apart in a closed loop, or at a rate."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.wrong = 0
        self.lost = 0
        self.is_over = False
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def repeat(self, clients: int, *, pause: float) -> None:
        """Ask again and again, with so many clients, until it is over."""

        async def ask() -> None:
            while not self.is_over:
                await self.ask()
                await asyncio.sleep(pause)

        await asyncio.gather(*(ask() for _ in range(clients)))

    async def run(self, rate: float) -> None:
        """Ask so many times a second, whether it is answered or not, until it is over."""
        started, count = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not self.is_over:
                while count < rate * (time.monotonic() - started):
                    count += 1
                    group.create_task(self.ask())
                await asyncio.sleep(0.002)

    async def ask(self) -> None:
        """Send one request, and judge its answer."""
        value = random.randrange(1 << 30)
        try:
            connection = self._kept.pop() if self._kept else await asyncio.open_connection("127.0.0.1", PORT)
        except OSError:
            self.is_over = True  # the daemon has stopped: this request was never accepted
            return
        started = time.perf_counter()
        try:
            status, body, is_kept = await request(*connection, self.route, {"instances": [[value]]})
        except (OSError, asyncio.IncompleteReadError):
            self.lost += 1
            return
        self.seconds.append(time.perf_counter() - started)
        self.statuses[status] += 1
        self.wrong += status == 200 and json.loads(body) != {"doubled": [2 * value]}
        if is_kept:
            self._kept.append(connection)
        else:
            connection[1].close()

    def quantile(self, share: float) -> float:
        """The latency that this share of the requests stayed below, in milliseconds."""
        return sorted(self.seconds)[int(len(self.seconds) * share)] * 1e3


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: str, payload: object
) -> tuple[int, bytes, bool]:
    """Send one request; return its status, its body, and whether the connection is kept."""
    body = json.dumps(payload).encode()
    writer.write(b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (route.encode(), len(body), body))
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return int(head.split(b" ")[1]), await reader.readexactly(length), b"connection: close" not in head


async def compare(fault: str, process: "subprocess.Popen[bytes]", seconds: float) -> dict[str, object]:
    """Load the healthy route, first beside the fault's calm twin, then beside the fault."""
    faulty_route, calm_route, rate = LOADS[fault]
    calm, _ = await load(seconds, calm_route, rate, idle=1000 if fault == "slow" else 0)
    healthy, faulty = await load(seconds, faulty_route, rate, fault=fault, process=process)
    loads = [one for one in (healthy, faulty) if one is not None]
    exit_code = await asyncio.to_thread(wait_for_exit, process, 30) if fault == "stop" else None
    return {
        "healthy p50 ms": round(healthy.quantile(0.5), 2),
        "healthy p99 ms": round(healthy.quantile(0.99), 2),
        "calm p99 ms": round(calm.quantile(0.99), 2),
        "p99 / calm": round(healthy.quantile(0.99) / calm.quantile(0.99), 2),
        "statuses": {one.route: dict(one.statuses) for one in loads},
        "wrong": sum(one.wrong for one in loads),
        "lost": sum(one.lost for one in loads),
        "untrue": sum(n for one in loads for status, n in one.statuses.items() if status not in TRUE)
        + sum(n for status, n in healthy.statuses.items() if status != 200),
        **({} if exit_code is None else {"exit code": exit_code}),
    }


def wait_for_exit(process: "subprocess.Popen[bytes]", seconds: float) -> int | str:
    """The exit code of a daemon that was told to stop; one that does not costs no figure."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    return f"runs on after {seconds:.0f} s" if process.returncode is None else process.returncode


async def load(
    seconds: float,
    route: str | None,
    rate: float,
    *,
    idle: int = 0,
    fault: str = "",
    process: "subprocess.Popen[bytes] | None" = None,
) -> tuple[Load, Load | None]:
    """Have clients ask the healthy route, and another one at a rate, while a fault is caused; return both loads."""
    healthy, other = Load("double"), None if route is None else Load(route)
    tasks = [asyncio.create_task(healthy.repeat(4, pause=0.005))]
    if other is not None:
        tasks.append(asyncio.create_task(other.run(rate)))
    if fault == "kill":
        tasks.append(asyncio.create_task(kill_workers(healthy)))
    if fault == "slow" or idle:
        tasks += [asyncio.create_task(be_slow(healthy, silent=bool(idle))) for _ in range(1000)]
    await asyncio.sleep(seconds / 2 if fault == "stop" else seconds)
    if fault == "stop" and process is not None:
        process.terminate()
        await asyncio.sleep(min(3.0, seconds / 2))
    healthy.is_over = True
    if other is not None:
        other.is_over = True
    await asyncio.gather(*tasks)
    return healthy, other


async def kill_workers(load: Load) -> None:
    """Kill the faulty route's worker every second."""
    while not load.is_over:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            status, body, _ = await request(reader, writer, "pid", {})
            writer.close()
            if status == 200:
                os.kill(json.loads(body), signal.SIGKILL)
        await asyncio.sleep(1)


async def be_slow(load: Load, *, silent: bool) -> None:
    """Send a request a byte a second, or nothing at all."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for byte in b"POST /double HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 3600:
            if load.is_over or writer.is_closing():  # the daemon has had enough of it
                break
            if not silent:
                writer.write(bytes([byte]))
            await asyncio.sleep(1)
        writer.close()


@contextmanager
def daemon(root: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a daemon while inside."""
    root.mkdir(parents=True)
    instances = json.dumps({"instances": [[1], [2], [3]]})
    models = []
    for name, routes in NAMES.items():
        (root / f"{name}.json").write_text(instances if name == "good" else "{}")  # nothing hangs or leaks at warm-up
        models.append({"name": name, "routes": routes, "instances": f"{name}.json"})
    (root / "good.py").write_text(GOOD)
    (root / "bad.py").write_text(BAD)
    functions = [
        f"{route}:{name}:{'work' if route == 'narrow' else route}" for name, routes in NAMES.items() for route in routes
    ]
    environ: Mapping[str, str] = {
        **os.environ,
        **lay_out(root, models, prefix=CACHE / "models", routes=",".join(functions), port=PORT),
        "REQUEST_TIMEOUT": "2",
        "MEMORY_LIMIT": "leak=400M",
        "BATCH_SIZE": "64,narrow=1,compute=1,hang=1,leak=1,pid=1",
    }
    with (root / "log").open("wb") as log:
        process = start(RUN, environ=environ, log=log)
    with stopping(process, grace=40):
        wait_until_ready()
        yield process


def wait_until_ready() -> None:
    """Poll /readyz."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=1):
            time.sleep(_SETTLING)
            return
        time.sleep(0.05)
    raise SystemExit("the daemon was not ready after 300 s")


if __name__ == "__main__":
    run_benchmark(main)
