"""Figures of `serve.py` beside rates: one connection, memory, many routes. Each is the median of the rounds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from bench import PORTS, SETTLING, Bench
from processes import run_well, stopping

FOUR = ("lr", "rf", "xgb", "cat")
MANY = 50
PAUSE = 0.002  # about what lies between two calls of a worker that 16 clients load
# Times the function alone, in the environment of the model, as many threads as a worker gets.
_BARE = """
import json, sys, time
from adult import predict
rows = json.load(open(sys.argv[2]))["instances"]
count, pause = int(sys.argv[3]), float(sys.argv[4])
taken = []
for number in range(400):
    time.sleep(pause)
    at = number * count % (len(rows) - count)
    body = json.dumps({"instances": rows[at : at + count]})
    started = time.perf_counter()
    json.dumps({"predictions": predict(sys.argv[1], json.loads(body)["instances"])})
    taken.append(time.perf_counter() - started)
print(sorted(taken[100:])[150] * 1e3)
"""


def measure_one_connection(bench: Bench) -> Mapping[str, float]:
    """Latencies of one connection: the model's above the bare function, and the gateway's beside Flask's.

    In turns of a second, as the machine's speed changes within a few; what is above the bare function is so in a turn.
    """
    turns = range(bench.rounds * bench.seconds)
    runs = []
    with bench.servers(["daemon", "flask", "relay"], "lr"):
        time.sleep(SETTLING)
        peers = ("relay", "daemon", "flask")
        after = time_bare(bench, "lr")
        for _ in turns:
            found = {peer: bench.load(peer, "lr", 1, seconds=1)["p50 ms"] for peer in peers}
            before, after = after, time_bare(bench, "lr")
            bare = (before + after) / 2
            above = {f"{peer} above bare ms": found[peer] - bare for peer in peers}
            note(runs, {"bare p50 ms": bare, "daemon p50 ms": found["daemon"], **above})
    model = _median(runs)
    runs = []
    with bench.servers(["daemon", "flask"], "gateway"):
        for _ in turns:
            gateway, flask = (bench.load(peer, "gateway", 1, seconds=1) for peer in ("daemon", "flask"))
            note(
                runs,
                {
                    "gateway p50 ms": gateway["p50 ms"],
                    "gateway p99 ms": gateway["p99 ms"],
                    "flask p50 ms": flask["p50 ms"],
                    "flask p99 ms": flask["p99 ms"],
                },
            )
    return {**model, **_median(runs)}


def measure_memory(bench: Bench) -> Mapping[str, float]:
    """What four models hold after 64 connections have asked each: proportional set sizes in MB."""
    runs = []
    for _ in range(bench.rounds):
        with bench.serving(dict(zip(FOUR, FOUR, strict=True))) as process:
            four = load_and_weigh(bench, process, "daemon", FOUR)
        with bench.serving({**dict(zip(FOUR, FOUR, strict=True)), "more": "lr"}) as process:
            five = load_and_weigh(bench, process, "daemon", (*FOUR, "more"))
        with stopping(bench.start_flask("lr")) as process:
            bench.wait_until_right("flask", "lr")
            flask = load_and_weigh(bench, process, "flask", FOUR)
        note(
            runs, {"daemon MB": four, "flask MB": flask, "daemon / flask": four / flask, "a route more MB": five - four}
        )
    return _median(runs)


def measure_many_routes(bench: Bench) -> Mapping[str, float]:
    """How soon many models are ready, and what the others cost one of them."""
    runs = []
    names = [f"m{number}" for number in range(MANY)]
    for _ in range(bench.rounds):
        with bench.serving({names[0]: "lr"}):
            load_seconds = ask_routes()[0]["load_seconds"]
            alone = bench.load("daemon", names[0], 1)["p50 ms"]
        started = time.monotonic()
        with bench.serving(dict.fromkeys(names, "lr"), settles=False):
            ready = time.monotonic() - started
            time.sleep(SETTLING)
            among = bench.load("daemon", names[0], 1)["p50 ms"]
        share = float(load_seconds) * MANY / (os.cpu_count() or 1)
        note(
            runs,
            {
                "ready s": ready,
                "load times / cores s": share,
                "ready / that": ready / share,
                "p50 alone ms": alone,
                "p50 among ms": among,
                "among / alone": among / alone,
            },
        )
    return _median(runs)


def measure_calls(bench: Bench) -> Mapping[str, float]:
    """Where a worker's time goes: the rows that share a call, what it takes there and alone, and the time between."""
    runs = []
    for _ in range(bench.rounds):
        run = {}
        for model, connections in (("lr", 1), ("lr", 16), ("rf", 16)):
            with bench.servers(["daemon"], model):
                before, started = read_calls(), time.monotonic()
                bench.load("daemon", model, connections)
                elapsed = time.monotonic() - started
                calls, seconds, rows = (after - then for after, then in zip(read_calls(), before, strict=True))
            each = {
                "rows a call": rows / calls,
                "ms a call": seconds / calls * 1e3,
                "ms bare": time_bare(bench, model, round(rows / calls)),
                "ms bare, after a pause": time_bare(bench, model, round(rows / calls), pause=PAUSE),
                "ms between calls": (elapsed - seconds) / calls * 1e3,
                "rows/s inside calls": rows / seconds,
            }
            run |= {f"{model}, {connections} connections: {name}": value for name, value in each.items()}
        note(runs, run)
    return _median(runs)


SHAPES = {
    "one": measure_one_connection,
    "memory": measure_memory,
    "routes": measure_many_routes,
    "calls": measure_calls,
}


def time_bare(bench: Bench, name: str, rows: int = 1, *, pause: float = 0.0) -> float:
    """The median milliseconds of the function alone, for so many rows, with so many seconds between calls."""
    instances = bench.folder / "bare.json"
    instances.write_text(json.dumps({"instances": bench.rows}))
    return float(bench.run_python(_BARE, name, str(instances), str(rows), str(pause)))


def read_calls() -> tuple[float, float, float]:
    """How many calls the daemon's models have had, their seconds, and the requests in them."""
    with urlopen(f"http://127.0.0.1:{PORTS['daemon']}/metrics", timeout=5) as response:
        values = dict(line.rsplit(" ", 1) for line in response.read().decode().splitlines() if line[0] != "#")
    names = ("call_seconds_count", "call_seconds_sum", "batch_size_sum")
    return tuple(sum(float(v) for k, v in values.items() if k.startswith(f"modelyard_{name}")) for name in names)


def load_and_weigh(bench: Bench, process: subprocess.Popen[bytes], peer: str, models: tuple[str, ...]) -> float:
    """The memory of a server and its processes, when 64 connections have asked each model."""
    for model in models:
        bench.load(peer, model, 64)
    return sum(map(read_proportional, descend(process.pid))) / 1024


def read_proportional(pid: int) -> int:
    """The proportional set size of a process in KB: its own memory, and its share of what it shares."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


def descend(pid: int) -> Iterator[int]:
    """A process and all below it."""
    lines = run_well(["ps", "-eo", "pid=,ppid="]).splitlines()
    found = [pid]
    for parent in found:
        yield parent
        found += [int(line.split()[0]) for line in lines if int(line.split()[1]) == parent]


def ask_routes() -> list[dict[str, float]]:
    """What the daemon says of its routes, once it is ready."""
    with urlopen(f"http://127.0.0.1:{PORTS['daemon']}/routes", timeout=5) as response:
        routes: list[dict[str, float]] = json.load(response)["routes"]
    return routes


def note(runs: list[dict[str, float]], found: dict[str, float]) -> None:
    """Keep one round's figures, and say them at once: a run that is cut off has told what it knew."""
    runs.append(found)
    rounded = {name: round(value, 2) for name, value in found.items()}
    print(f"round {len(runs)}: {json.dumps(rounded)}", file=sys.stderr, flush=True)


def _median(runs: list[dict[str, float]]) -> Mapping[str, float]:
    return {name: round(median(run[name] for run in runs), 2) for name in runs[0]}
