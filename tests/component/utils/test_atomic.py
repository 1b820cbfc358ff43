import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system has no file size limit")
def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path):
    target = tmp_path / "m"
    target.write_bytes(b"old")
    code = f"""
import resource
from pathlib import Path
from utils.atomic import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))
try:
    write_atomically(Path({str(target)!r}), b"x" * 100_000, part=Path({str(tmp_path / ".part")!r}))
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m", b"old")]
