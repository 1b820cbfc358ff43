"""How long common_utils.feature_encoder takes for one row and for ten thousand: python benchmarks/encoder.py

Rows are like those of a census: 6 numbers and 8 categories, 108 features. The best of ten rounds, then one JSON line.
"""

import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import run_benchmark

from common_utils.feature_encoder import FeatureEncoder

SIZES = (9, 16, 7, 15, 6, 5, 2, 42)


def make_rows(count: int) -> list[list[object]]:
    """Rows of 14 columns, the same every time."""
    generator = random.Random(0)
    return [
        [*(generator.randrange(10**5) for _ in range(6)), *(f"value_{generator.randrange(size)}" for size in SIZES)]
        for _ in range(count)
    ]


def main() -> None:
    """Measure and print."""
    rows = make_rows(10_000)
    encoder = FeatureEncoder.fit(rows, names=[f"c{number}" for number in range(14)], standardize=True)
    best = {}
    for count in (1, 10_000):
        best[count] = float("inf")
        for _ in range(10):
            started = time.perf_counter()
            encoder.transform(rows[:count])
            best[count] = min(best[count], time.perf_counter() - started)
        print(f"{count:6} rows: {best[count] * 1e6:.0f} us")
    print(json.dumps({"benchmark": "encoder", "seconds": best}))


if __name__ == "__main__":
    run_benchmark(main)
