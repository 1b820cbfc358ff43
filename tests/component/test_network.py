import stat
from pathlib import Path

from modelyard.network import read_network_profile


def test_profile_asks_the_users_pip(tmp_path: Path):
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\necho \"global.index-url='https://me:secret@index.example/simple'\"\n")
    pip.chmod(pip.stat().st_mode | stat.S_IXUSR)
    profile = read_network_profile({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert profile.variables["UV_DEFAULT_INDEX"] == "https://me:secret@index.example/simple"
    assert profile.masked()["UV_DEFAULT_INDEX"] == "https://***@index.example/simple"
