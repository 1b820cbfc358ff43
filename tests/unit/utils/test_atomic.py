import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from utils.atomic import locked_folder, write_atomically

ROOT = Path(__file__).parents[3]


def test_a_file_is_replaced_and_no_temporary_file_stays(tmp_path):
    target = tmp_path / "m"
    target.write_bytes(b"old")
    write_atomically(target, b"new", part=tmp_path / ".m.part")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


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


def test_a_second_writer_waits_for_the_first(tmp_path):
    order = []
    entered = threading.Event()

    def second():
        entered.set()
        with locked_folder(tmp_path):
            order.append("second")

    with locked_folder(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        thread.join(timeout=0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []
