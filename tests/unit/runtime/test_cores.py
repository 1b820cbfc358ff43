"""The cores that may be used, and what numerical libraries are told of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from modelyard.runtime import cores as cores_module
from modelyard.runtime.cores import library_variables, read_quota


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight, of which a control group allows four."""
    monkeypatch.setattr(cores_module, "count_processors", lambda: 8)
    monkeypatch.setattr(cores_module, "read_quota", lambda: 3.5)


@pytest.mark.parametrize(("workers", "threads"), [(1, "4"), (2, "2"), (3, "1"), (1000, "1")])
def test_thread_pools_of_all_workers_fit_the_cores(workers: int, threads: str) -> None:
    variables = library_variables({}, workers=workers)
    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == threads
    assert variables["OMP_WAIT_POLICY"] == "PASSIVE"


def test_a_worker_that_has_every_core_is_told_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores_module, "read_quota", lambda: None)
    variables = library_variables({}, workers=1)
    assert "OMP_NUM_THREADS" not in variables and variables["OMP_WAIT_POLICY"] == "PASSIVE"


def test_the_user_has_the_last_word() -> None:
    said = {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "ACTIVE", "MKL_NUM_THREADS": ""}
    variables = library_variables(said, workers=1)
    assert not {"OMP_NUM_THREADS", "OMP_WAIT_POLICY"} & set(variables)
    assert variables["MKL_NUM_THREADS"] == "4"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_the_control_group_counts(tmp_path: Path, files: Mapping[str, str], cores: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_quota(tmp_path) == cores
