import os
import subprocess
import sys

from common_utils.model_records import read_records

WRITER = """
import sys
from common_utils.model_records import add_model
for number in range(20):
    name = f"{sys.argv[2]}-{number}"
    add_model(sys.argv[1], {"id": name, "file": f"{name}.pth"}, name.encode())
"""


def test_writers_at_the_same_time_lose_no_entry(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], env=environment) for name in "abcd"
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    records = read_records(tmp_path)
    assert len({record["id"] for record in records}) == 80
    assert all((tmp_path / record["file"]).read_text() == record["id"] for record in records)
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*"))
