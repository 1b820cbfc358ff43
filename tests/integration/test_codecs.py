"""The codecs of utils with the real frameworks, each in an environment of its own."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration.uv_environments import find_cpu_torch, make_environment, run_python

pytestmark = pytest.mark.integration

CHECKS = Path(__file__).with_name("codec_checks.py")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone after the test: pytest would keep the environments of three sessions."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def run_checks(framework: str, requirements: list[str], folder: Path) -> None:
    python = make_environment(folder / "environment", ["numpy>=2.0,<3", *requirements])
    options = ["-q", "-rs", "-W", "error", "-p", "no:cacheprovider", "--noconftest"]
    places = ["-c", os.devnull, f"--rootdir={folder}", str(CHECKS)]
    done = run_python(python, "-m", "pytest", *options, *places, CODEC_FRAMEWORK=framework)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_xgboost(folder):
    run_checks("xgboost", ["xgboost>=2.1,<4", "scikit-learn>=1.6,<2"], folder)


def test_catboost(folder):
    run_checks("catboost", ["catboost>=1.2.8,<2"], folder)


def test_torch(folder):
    wheel = find_cpu_torch()
    if wheel is None:
        pytest.skip("no CPU wheel of torch in pip's find-links: from the index it would bring gigabytes of CUDA")
    run_checks("torch", [str(wheel), "safetensors>=0.4"], folder)
