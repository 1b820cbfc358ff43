import subprocess
from pathlib import Path

import pytest

from modelyard.errors import InputError
from modelyard.s2i.config import BuildConfig
from modelyard.s2i.create import EXECUTABLE, create_builder
from modelyard.s2i.source import fetch_source


def config(**options: object) -> BuildConfig:
    return BuildConfig(**{"source": "src", "builder_image": "builder:1", "tag": "app:latest", **options})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("b")
    return folder


class TestSource:
    def test_ref_that_does_not_exist_and_one_that_looks_like_a_flag(self, source, tmp_path):
        subprocess.run(["git", "-C", source, "init", "-q"], check=True)
        for ref in ("nowhere", "--upload-pack=touch /tmp/x"):
            with pytest.raises(InputError, match="git could not"):
                fetch_source(config(ref=ref), tmp_path / f"work{len(ref)}", directory=tmp_path)


class TestSkeleton:
    def test_scripts_are_sound_and_can_be_run(self, tmp_path):
        create_builder("my-builder", tmp_path / "b")
        for name in EXECUTABLE:
            assert (tmp_path / "b" / name).stat().st_mode & 0o111
            subprocess.run(["bash", "-n", tmp_path / "b" / name], check=True)
        assert (
            "my-builder"
            in subprocess.run(
                ["bash", tmp_path / "b" / "s2i" / "bin" / "usage"], capture_output=True, text=True, check=True
            ).stdout
        )
