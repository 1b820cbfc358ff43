"""What a process gives back when it has loaded, in a process of its own: Linux counts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[4] / "src"
MEASURE = """
import decimal, json, sqlite3, ssl, sys
sys.path.insert(0, sys.argv[1])
from modelyard.runtime.daemon.memory import settle_memory

def measure():
    fields = dict(line.split(":") for line in open("/proc/self/status"))
    return {name: int(fields[name].split()[0]) for name in ("RssFile", "RssAnon")}

garbage = [bytearray(1000) for _ in range(40_000)]
last = garbage.pop()
del garbage
before = measure()
settle_memory()
after = measure()
ssl.create_default_context()
assert sqlite3.connect(":memory:").execute("select 41 + 1").fetchone() == (42,)
assert decimal.Decimal(2) ** 2 == 4
print(json.dumps([before, after]))
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="this system does not tell what a process maps")
def test_what_loading_alone_has_used_goes_back_and_everything_still_works():
    done = subprocess.run([sys.executable, "-c", MEASURE, SRC], capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    assert after["RssFile"] < 0.7 * before["RssFile"]  # in KB
    assert after["RssAnon"] < before["RssAnon"] - 30_000
