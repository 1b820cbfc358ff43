"""No uv that is started here is configured by a file that happens to lie in the current folder."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from modelyard.machine.uv import find_uv
from modelyard.runtime.assembling.installation import ask_uv, install_requirements, make_environment
from modelyard.runtime.assembling.pythons import find_python

UV = find_uv({})
SETTINGS = {
    "uv.toml": 'no-binary = "all"\noffline = 7\n',
    "pyproject.toml": '[project]\nname = "mine"\nversion = "1"\n\n[tool.uv]\nrequired-version = "==0.0.1"\n',
}


@pytest.fixture(params=SETTINGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file that uv would fail on."""
    (tmp_path / request.param).write_text(SETTINGS[request.param])
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    return below


def test_making_and_filling_an_environment(folder):
    environ = {**os.environ, "UV_NO_INDEX": "1"}
    environment = make_environment(folder / "made", python=sys.executable, uv=UV, environ=environ)
    (folder / "requirements.txt").write_text("# nothing\n--no-index\n")
    install_requirements(environment, folder / "requirements.txt", uv=UV, environ=environ)
    assert (environment / "bin/python").exists()


def test_questions(folder):
    (folder / "one.in").write_text("")
    command = [UV, "pip", "compile", "--quiet", "--no-index", "--python", sys.executable, "one.in"]
    assert ask_uv(command, os.environ, cwd=folder) == (0, "")


def test_looking_for_a_python(folder):
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    other = shutil.which("python3") or sys.executable
    environ = {**os.environ, "MODELYARD_TARGET": "0.0 x"}
    assert find_python(here, default=other, uv=UV, environ=environ, asked="a test")


def test_a_file_that_the_user_names_is_read(folder):
    (folder / "mine.toml").write_text("[pip]\nno-such-setting = 1\n")
    (folder / "one.in").write_text("")
    command = [UV, "pip", "compile", "--quiet", "--no-index", "--python", sys.executable, "one.in"]
    _, said = ask_uv(command, {**os.environ, "UV_CONFIG_FILE": str(folder / "mine.toml")})
    assert "mine.toml" in said
