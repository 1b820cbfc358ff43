import subprocess

import pytest

from modelyard.errors import InputError
from modelyard.s2i.config import BuildConfig
from modelyard.s2i.create import EXECUTABLE, create_builder
from modelyard.s2i.source import fetch_source


class TestSource:
    @pytest.mark.parametrize("ref", ["nowhere", "--upload-pack=touch /tmp/x"])
    def test_ref_that_does_not_exist_and_one_that_looks_like_a_flag(self, tmp_path, ref):
        subprocess.run(["git", "init", "-q", tmp_path / "src"], check=True)
        config = BuildConfig(source="src", builder_image="builder:1", tag="app:latest", ref=ref)
        with pytest.raises(InputError, match="git could not"):
            fetch_source(config, tmp_path / "work", directory=tmp_path)


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
