"""The union of many files, and the conflicts that its lines prove."""

import pytest

from modelyard.requirements.merge import format_merged, merge_requirements
from modelyard.requirements.parse import parse_requirements
from modelyard.requirements.together import find_conflicts


def merge(**files: str):
    return merge_requirements(
        line for name, text in files.items() for line in parse_requirements(text, source=f"{name}.txt", origin=name)
    )


def conflicts(one: str, two: str) -> list[str]:
    return [error.message for error in find_conflicts(merge(a=one, b=two))]


def test_each_line_once_sorted_by_name_with_its_origins():
    merged = merge(b="six\nNumPy>=2", a="numpy >= 2\n--no-index\nattrs")
    assert format_merged(merged, everyone=2) == ("--no-index  # a\nattrs  # a\nnumpy>=2  # every model\nsix  # b\n")


def test_many_origins_are_counted():
    merged = merge(a="x", b="x", c="x", d="x", e="x", f="x", g="y")
    assert format_merged(merged, everyone=7).splitlines()[0] == "x  # a, b, c, d and 2 more"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x==1", "x==2"),
        ("x==1", "x>=1.1"),
        ("x>=2", "x<2"),
        ("x~=1.4", "x>=2"),
        ("x==1.*", "x>=2"),
        ("x>2", "x<=2"),
        ("x==1.5", "x!=1.5"),
        ("x @ https://host/1.whl", "x @ https://host/2.whl"),
        ("x==1; python_version < '4'", "x==2; python_version < '4'"),
        ("-i https://one/simple", "-i https://two/simple"),
    ],
)
def test_lines_that_no_version_satisfies(one, two):
    assert len(conflicts(one, two)) == 1
    [message] = conflicts(one, two)
    assert "a.txt:1: " in message and " cannot go with " in message and "b.txt:1: " in message


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x==1", "x>=1"),
        ("x==1.0", "x==1"),
        ("x==1.0+cpu", "x==1.0"),
        ("x<=2", "x>=2"),
        ("x~=1.4", "x==1.9"),
        ("x==1.*", "x<1.5"),
        ("x!=1", "x!=2"),
        ("x==1; sys_platform == 'linux'", "x==2; sys_platform == 'darwin'"),
        ("x===odd", "x==1"),
        ("x @ https://host/1.whl", "x>=1"),
        ("--extra-index-url https://one", "--extra-index-url https://two"),
    ],
)
def test_lines_that_may_go_together_are_left_to_the_resolver(one, two):
    assert conflicts(one, two) == []


def test_credentials_are_not_shown():
    [message] = conflicts("-i https://me:secret@one/simple", "-i https://two/simple")
    assert "secret" not in message and "https://***@one/simple" in message
