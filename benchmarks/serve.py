"""The daemon's figures beside its peers', measured in turns in one run.

    .venv/bin/python benchmarks/serve.py [--seconds 5] [--rounds 3] [--connections 1 16 64] [--models lr rf xgb]
                                         [--peers daemon flask mlserver] [--shapes one memory routes calls] [--json]

Requests per second and latencies of one row a request, sent by wrk: our daemon, plain Flask + gunicorn with two sync
workers as people write it, and MLServer with adaptive batching where it can be installed. `gateway` is our daemon with
a function that returns its input, beside plain Flask that does nothing. Figures on a shared machine are noisy: each is
the median of the rounds, the peers take turns within a round, and what counts are the ratios.

What is known is printed at once, with `--json` an object a line; a peer that does not answer is named and left out.

With `--shapes`, other figures in their place: `one` connection's latency above the bare function's, beside Flask's and
that of a mere relay to a process of the model's own, the `memory` of four models beside Flask's (proportional set
sizes), fifty `routes`, and how a worker's time is shared between its `calls` and what lies between them.

The environments are made once, by uv, in ~/.cache/modelyard-benchmarks.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import Bench, has_environment
from processes import run_benchmark
from shapes import SHAPES

HEAD = f"{'model':8} {'conns':>5}  {'peer':9} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'errors':>6}  ours/peer"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--models", nargs="+", default=["gateway", "lr", "rf", "xgb"])
    parser.add_argument("--peers", nargs="+", default=["daemon", "flask", "mlserver"])
    parser.add_argument("--shapes", nargs="+", default=(), choices=SHAPES)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing: install it (apt-get install wrk)")
    peers = [peer for peer in options.peers if has_environment("mlserver" if peer == "mlserver" else "models")]
    with tempfile.TemporaryDirectory(prefix="modelyard-serve-") as folder:
        bench = Bench(Path(folder), seconds=options.seconds, rounds=options.rounds)
        for shape in options.shapes:
            print(json.dumps({shape: SHAPES[shape](bench)}, indent=1), flush=True)
        if options.shapes:
            return
        if not options.json:
            print(HEAD)
        for model in options.models:
            for figures in bench.measure(model, peers, options.connections):
                print("\n".join(map(json.dumps, figures)) if options.json else render(figures), flush=True)


def render(figures: Sequence[Mapping[str, object]]) -> str:
    """Lines of the table, with the ratio of our rate to each peer's."""
    lines = []
    for one in figures:
        ours = next(
            figure["requests/s"]
            for figure in figures
            if (figure["model"], figure["connections"]) == (one["model"], one["connections"])
            and (figure["peer"] == "daemon" or all(other["peer"] != "daemon" for other in figures))
        )
        lines.append(
            f"{one['model']:8} {one['connections']:5}  {one['peer']:9} {one['requests/s']:8.0f} {one['p50 ms']:8.2f} "
            f"{one['p99 ms']:8.2f} {one['errors']:6.0f}  {ours / one['requests/s']:.2f}"  # type: ignore[operator]
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_benchmark(main)
