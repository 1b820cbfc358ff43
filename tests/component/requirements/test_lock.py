"""Locking with uv: on wheels in a folder, so that no network decides what a test finds."""

import hashlib
import os
from pathlib import Path

import pytest
from uv import find_uv_bin

from modelyard.errors import InputError
from modelyard.requirements.lock import pin_requirements
from tests.component.requirements.wheels import make_wheel

LINUX = {
    "python": "3.11",
    "platform": "x86_64-unknown-linux-gnu",
    "file": "projects/demo/m/requirements_train.txt",
    "uv": find_uv_bin(),
}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "forest", "1.0", "arrays<3", "nvidia_extra")
    make_wheel(folder, "arrays", "1.0")
    make_wheel(folder, "arrays", "2.0")
    make_wheel(folder, "nvidia_extra", "7.0")
    return folder


@pytest.fixture
def environ(wheels: Path, tmp_path: Path) -> dict[str, str]:
    settings = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")}
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_NO_CONFIG": "1", **settings}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_package_has_a_version_and_the_hashes_of_its_files_and_no_place(wheels, environ):
    pins = pin_requirements(["forest"], environ=environ, **LINUX)
    assert pins == "".join(
        f"{name}=={version} \\\n    --hash=sha256:{digest(wheels / f'{file}-{version}-py3-none-any.whl')}\n"
        for name, file, version in (
            ("arrays", "arrays", "2.0"),
            ("forest", "forest", "1.0"),
            ("nvidia-extra", "nvidia_extra", "7.0"),
        )
    )
    assert str(wheels) not in pins


def test_excluded_packages_are_left_out(environ):
    pins = pin_requirements(["forest"], environ={**environ, "EXCLUDED_PACKAGES": "nvidia_extra"}, **LINUX)
    assert "nvidia" not in pins


def test_gpu_libraries_are_refused_for_a_cpu(environ):
    with pytest.raises(InputError, match=r"requirements_train\.txt: variant cpu, but nvidia-extra==7\.0 and 0 more"):
        pin_requirements(["forest"], environ={**environ, "TORCH_BACKEND": "cpu"}, **LINUX)


def test_a_line_that_names_a_gpu_library_is_the_one_to_remove(environ):
    with pytest.raises(InputError) as error:
        pin_requirements(["arrays", "Nvidia_Extra>1"], environ={**environ, "TORCH_BACKEND": "cpu"}, **LINUX)
    assert error.value.hint == f"remove {LINUX['file']}:2, or lock with --variant cuda"


def test_what_was_pinned_before_stays_where_it_fits(environ):
    before = pin_requirements(["arrays<2"], environ=environ, **LINUX)
    assert "arrays==1.0" in pin_requirements(["forest"], environ=environ, before=before, **LINUX)
    assert "arrays==2.0" in pin_requirements(["forest", "arrays>1"], environ=environ, before=before, **LINUX)


def test_a_line_that_nothing_provides_is_named(environ):
    with pytest.raises(InputError) as error:
        pin_requirements(["forest", "arrays>=7"], environ=environ, **LINUX)
    assert "projects/demo/m/requirements_train.txt:2: arrays>=7" in error.value.message
    assert "uv" in str(error.value.hint) or "loosen" in str(error.value.hint)


def test_another_python_gets_what_is_for_it(wheels, environ):
    make_wheel(wheels, "arrays", "2.5", python=">=3.13")
    assert "arrays==2.0" in pin_requirements(["arrays"], environ=environ, **LINUX)
    assert "arrays==2.5" in pin_requirements(["arrays"], environ=environ, **{**LINUX, "python": "3.13"})


def test_a_python_that_the_requirements_are_not_for_is_named_by_what_asks_for_it(wheels, environ):
    make_wheel(wheels, "arrays", "2.5", python=">=3.13")
    asked = "projects/demo/m/.python-version:1 asks for Python 3.11"
    with pytest.raises(InputError) as error:
        pin_requirements(["arrays==2.5"], environ=environ, asked=asked, **LINUX)
    assert "projects/demo/m/requirements_train.txt:1: arrays==2.5" in error.value.message
    assert str(error.value.hint).startswith(f"{asked}: ask for another there")
