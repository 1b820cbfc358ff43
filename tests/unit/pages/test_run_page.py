"""What the page of runs is given, and what it hands out, of records that were written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.flows.records import Records
from modelyard.pages.run_page import ASSETS, RunPage, read_asset, render_report
from modelyard.pages.run_view import describe_run, embed_pictures

RUN = "20261129-113027-3f2a91"
FORMER = "20261128-113027-aaaaaa"


def step(**fields: Any) -> dict[str, Any]:
    outputs = {"samples": {"file": "samples", "digest": "0" * 64, "size": 1, "kind": "folder"}}
    return {"state": "succeeded", "needs": [], "log": "see/log", "made_by": RUN, "outputs": outputs, **fields}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A runs/ with one run, whose step has a log and two pictures, one of which is not there."""
    folder = tmp_path / "runs" / RUN / "see"
    (folder / "samples").mkdir(parents=True)
    (folder / "log").write_text("first\n" + "x" * 20_000 + "\nlast </script>\n")
    (folder / "samples" / "a.png").write_bytes(b"\x89PNG")
    samples = [{"file": name, "label": "cat", "predicted": "dog"} for name in ("a.png", "b.png", "../log", 3)]
    (folder / "samples" / "samples.json").write_text(json.dumps([*samples, "nonsense"]))
    (tmp_path / "secret").write_text("of the project")
    return tmp_path / "runs"


def view(root: Path, **fields: Any) -> dict[str, Any]:
    return describe_run(Records(root), {"id": RUN, "steps": {"see": step(**fields)}})


def test_a_view_has_the_end_of_the_log_and_the_pictures_that_are_there(root):
    found = view(root)["steps"]["see"]
    assert found["log_tail"] == "last </script>\n"
    assert [sample["place"] for sample in found["galleries"][0]["samples"]] == [f"{RUN}/see/samples/a.png"]
    assert [file["place"] for file in found["files"]["samples"]] == [
        f"{RUN}/see/samples/a.png",
        f"{RUN}/see/samples/samples.json",
    ]


def test_what_was_reused_is_shown_from_the_run_that_made_it(root):
    (root / RUN).rename(root / FORMER)
    found = view(root, state="reused", log=None, made_by=FORMER)["steps"]["see"]
    assert found["log"] == f"{FORMER}/see/log" and found["log_tail"].startswith("last")
    assert found["galleries"][0]["samples"][0]["place"] == f"{FORMER}/see/samples/a.png"


def test_what_is_not_there_any_more_is_nothing(root):
    outputs = {"confusion": {"file": "confusion.json"}, "gone": {"file": "gone"}}
    found = view(root, log="see/none", outputs=outputs)["steps"]["see"]
    assert (found["log"], found["log_tail"], found["confusion"], found["galleries"]) == (None, "", None, [])
    assert found["files"] == {"confusion": [], "gone": []}


@pytest.mark.parametrize(
    ("content", "is_shown"),
    [
        ({"labels": ["a", "b"], "counts": [[1, 2], [3, 4]]}, True),
        ({"labels": ["a", "b"], "counts": [[1, 2]]}, False),
        ({"labels": ["a"], "counts": [1]}, False),
        ([], False),
        ("{", False),
    ],
)
def test_a_confusion_matrix_is_one_or_is_not_shown(root, content, is_shown):
    text = content if isinstance(content, str) else json.dumps(content)
    (root / RUN / "see" / "confusion.json").write_text(text)
    found = view(root, outputs={"confusion": {"file": "confusion.json"}})["steps"]["see"]["confusion"]
    assert (found == content) is is_shown and (is_shown or found is None)


def page(root: Path) -> RunPage:
    return RunPage(root, ids=lambda: [RUN], view=lambda id: view(root), summary=lambda id: {"id": id})


def test_a_page_hands_out_itself_the_runs_and_their_files(root):
    for path in ("/", *ASSETS, "/api/runs", f"/api/runs/{RUN}", f"/runs/{RUN}/see/log"):
        assert page(root).answer(path) is not None, path
    picture = page(root).answer(f"/runs/{RUN}/see/samples/a.png")
    assert picture is not None and picture.media_type == "image/png" and not picture.headers
    (root / RUN / "see" / "page.html").write_text("<script>")
    other = page(root).answer(f"/runs/{RUN}/see/page.html")
    assert other is not None and other.media_type == "application/octet-stream"
    assert other.headers["Content-Disposition"] == 'attachment; filename="page.html"'


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/runs/none",
        f"/runs/{RUN}",
        f"/runs/{RUN}/../../secret",
        "/runs/../secret",
        f"/runs/{RUN}//etc/passwd",
    ],
)
def test_a_page_hands_out_nothing_else(root, path):
    assert page(root).answer(path) is None


def test_a_link_out_of_the_runs_leads_nowhere(root):
    (root / RUN / "see" / "out").symlink_to(root.parent / "secret")
    assert page(root).answer(f"/runs/{RUN}/see/out") is None


def test_a_report_is_one_file_that_no_content_can_break(root):
    report = render_report(embed_pictures(view(root), root))
    head = report.partition("<script>")[0]
    assert '<link rel="stylesheet"' not in report and "<script src" not in report
    assert "last \\u003c/script>" in head and "data:image/png;base64,iVBORw" in head
    assert report.count("</script>") == 3 == report.count("<script")
    assert read_asset("runs.js") in report
