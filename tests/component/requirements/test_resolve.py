"""Asking uv: on wheels in a folder, so that no network decides what a test finds."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from modelyard.errors import ModelyardError
from modelyard.requirements.resolve import Resolver, Verdict
from tests.component.requirements.wheels import make_wheel

UV = find_uv_bin()


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "forest", "1.0", "arrays<2")
    make_wheel(wheels, "boost", "1.0", "arrays>=2")
    make_wheel(wheels, "arrays", "1.0")
    make_wheel(wheels, "arrays", "2.0")
    make_wheel(wheels, "plain", "1.0")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    settings = {
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(wheels),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_NO_CONFIG": "1",
    }
    return Resolver(uv=UV, environ={**environ, **settings}, cache=tmp_path / "cache")


def test_lines_that_fit(resolver):
    assert resolver(["arrays", "forest", "plain"]) == Verdict(status="fits")


def test_a_conflict_names_the_fewest_lines_that_fight(resolver):
    verdict = resolver(["arrays", "boost==1.0", "forest", "plain"])
    assert (verdict.status, verdict.fighting) == ("conflict", ("boost==1.0", "forest"))
    assert "arrays" in verdict.explanation and "error:" not in verdict.explanation


def test_a_line_that_nothing_provides_is_named_alone(resolver):
    assert resolver(["plain", "plain>=7", "arrays"]).fighting == ("plain>=7",)


def test_what_fits_is_never_asked_again(resolver, monkeypatch):
    assert resolver(["plain"]).status == "fits"
    monkeypatch.setattr("subprocess.run", None)
    assert resolver(["plain"]).status == "fits"


def test_another_union_or_other_settings_are_asked_anew(resolver, monkeypatch):
    assert resolver(["plain"]).status == "fits"
    elsewhere = Resolver(uv=UV, environ={**resolver.environ, "UV_FIND_LINKS": "/nowhere"}, cache=resolver.cache)
    assert elsewhere(["plain"]).status != "fits"
    assert resolver(["plain", "nothing-like-it"]).status == "conflict"


def test_an_index_that_does_not_answer_is_no_conflict(resolver):
    environ = {key: value for key, value in resolver.environ.items() if key != "UV_NO_INDEX"}
    nobody = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    verdict = Resolver(uv=UV, environ={**environ, **nobody})(["plain"])
    assert verdict.status == "unknown" and "127.0.0.1:9" in verdict.explanation


def test_being_offline_is_no_conflict(resolver):
    environ = {key: value for key, value in resolver.environ.items() if key != "UV_NO_INDEX"}
    assert Resolver(uv=UV, environ={**environ, "UV_OFFLINE": "1"})(["not-there"]).status == "unknown"


def test_credentials_are_not_repeated(resolver):
    environ = {key: value for key, value in resolver.environ.items() if key != "UV_NO_INDEX"}
    nobody = {"UV_DEFAULT_INDEX": "http://me:secret@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    resolver = Resolver(uv=UV, environ={**environ, **nobody})
    assert "secret" not in resolver(["plain"]).explanation + repr(resolver)


def test_a_conflict_is_asked_again_by_the_next_process_only(resolver, monkeypatch):
    lines = ["boost", "forest"]
    assert resolver(lines).status == "conflict"
    make_wheel(Path(resolver.environ["UV_FIND_LINKS"]), "forest", "1.1", "arrays")
    assert resolver(lines).status == "conflict"
    assert Resolver(uv=UV, environ=resolver.environ, cache=resolver.cache)(lines).status == "fits"


def test_another_python_is_another_question(resolver):
    make_wheel(Path(resolver.environ["UV_FIND_LINKS"]), "plain", "2.0", python=">=3.12")
    assert resolver(["plain>=2"], python="3.12").status == "fits"
    assert resolver(["plain>=2"], python="3.11").status == "conflict"


def test_a_uv_that_is_not_there_is_named(resolver):
    with pytest.raises(ModelyardError, match=r"uv can't be run: /nowhere/uv") as error:
        replace(resolver, uv="/nowhere/uv")(["plain"])
    assert "the variable UV names it" in str(error.value.hint)
