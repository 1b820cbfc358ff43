import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.daemon.site import LIBRARY
from modelyard.runtime.supervisor.listening import ListenError, bind


def supervise(root: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the supervisor where it must end by itself."""
    command = [sys.executable, "-m", "modelyard.runtime.supervisor"]
    env = {**os.environ, "PYTHONPATH": str(LIBRARY), **environ}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=20)


def test_a_port_that_is_taken_is_said_and_exits_with_7(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind(Settings(host="127.0.0.1", port=port))
        done = supervise(tmp_path, {"HOST": "127.0.0.1", "PORT": str(port), "ROUTES": "a:b:c"})
    assert done.returncode == 7
    assert done.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n  hint: ")


def test_nothing_to_serve_is_said_and_exits_with_3(tmp_path: Path) -> None:
    done = supervise(tmp_path, {"ROUTES": "", "PREDICT_MODULE": ""})
    assert done.returncode == 3
    assert "neither ROUTES nor PREDICT_MODULE" in done.stderr


def test_a_missing_environment_is_said_and_exits_with_3(tmp_path: Path) -> None:
    environ = {"ROUTES": "a:b:c", "MODELYARD_ENVIRONMENTS": str(tmp_path), "HOST": "127.0.0.1", "PORT": "0"}
    done = supervise(tmp_path, environ)
    assert done.returncode == 3
    assert f"b needs the environment 'default', but there is no {tmp_path}/default/bin/python" in done.stderr
