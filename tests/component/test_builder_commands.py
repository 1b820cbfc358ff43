"""The command at the head of each builder's Dockerfile, run by a shell as it stands there."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ARGUMENTS = [
    line
    for line in (REPOSITORY / "builders" / "cpu.args").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("builder", ["train", "daemon"])
def test_command_in_the_head_gives_docker_every_build_argument_whole(builder: str, tmp_path: Path) -> None:
    file = f"builders/{builder}/Dockerfile"
    command = (REPOSITORY / file).read_text().splitlines()[1].removeprefix("#").strip()
    told = tmp_path / "told"
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > '{told}'\n")
    docker.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", command], cwd=REPOSITORY, env=environ, check=True)
    arguments = told.read_text().splitlines()
    assert arguments[:6] == ["build", "-f", file, "-t", f"modelyard-{builder}", "."]
    assert arguments[6:] == [word for argument in ARGUMENTS for word in ("--build-arg", argument)]
