"""What a real Seldon server was seen to answer, asked of ours.

MODELYARD_SHARED names the folder with the recordings (seldon_v1/cases.jsonl and seldon_v1/models/*.py). A few cases of
our own, in the same form, are in tests/data/seldon.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

OWN = Path(__file__).parents[4] / "data" / "seldon"
RECORDED = Path(os.environ.get("MODELYARD_SHARED", "/nonexistent")) / "seldon_v1"
OTHERS = ("/live", "/metrics", "/nope")


def read_cases(folder: Path) -> list[dict[str, Any]]:
    path = folder / "cases.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def by_start(folder: Path) -> list[Any]:
    """The cases by how their server was started: the class, and the variables."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in read_cases(folder):
        if case["listener"] == "http":  # the daemon has no second port: its /metrics are its own
            groups.setdefault(case["model"] + json.dumps(case["env"]), []).append(case)
    return [pytest.param(folder, cases, id=f"{folder.name}-{cases[0]['model']}") for cases in groups.values()]


@pytest.mark.skipif(not RECORDED.is_dir(), reason="MODELYARD_SHARED names no folder with recordings in seldon_v1/")
def test_the_recordings_are_there() -> None:
    assert len(read_cases(RECORDED)) > 90


@pytest.mark.parametrize(("folder", "cases"), [*by_start(OWN), *by_start(RECORDED)])
def test_it_answers_as_a_seldon_server(
    folder: Path, cases: list[dict[str, Any]], serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cases[0]["model"]
    for name, value in cases[0]["env"].items():
        monkeypatch.setenv(name, value)
    client = serve((folder / "models" / f"{model}.py").read_text(), model)
    wrong = {case["id"]: difference for case in cases if (difference := find_difference(client, case))}
    assert not wrong


def find_difference(client: FlaskClient, case: dict[str, Any]) -> str | None:
    body = base64.b64decode(case["body_b64"]) if case.get("body_b64") else (case["body"] or "").encode()
    answer = client.open(case["path"], method=case["method"], headers=case["headers"], data=body)
    if case["path"] in OTHERS:  # the daemon's own, and its own form of 404
        return None if answer.status_code in (200, 404) else answer.text
    if answer.status_code != case["status"]:
        return f"{answer.status_code}: {answer.text}"
    headers = {name: answer.headers.get(name) for name in case["response_headers"]}
    if headers != case["response_headers"]:
        return str(headers)
    if "response_sha256" in case:  # a document of ours, not a copy of theirs
        return None if answer.json["openapi"] else answer.text
    if case["text_depends_on_runtime"]:
        return None if _shape(answer.json) == _shape(json.loads(case["response_body"])) else answer.text
    return None if answer.text == case["response_body"] else answer.text


def _shape(value: Any) -> Any:
    return {key: _shape(item) for key, item in value.items()} if isinstance(value, dict) else type(value)
