"""What is read of a builder's Dockerfile."""

import pytest

from modelyard.errors import WorkspaceError
from modelyard.images.recipe import expand, find_stage, read_command, read_health, read_instructions, read_pairs

TEXT = """\
# a comment
ARG BASE_IMAGE=python
FROM ${BASE_IMAGE} AS tools
RUN first \\
    # in between
    && second

from tools as platform
ENV A=1
"""


def test_instructions_have_the_number_of_their_first_line_and_no_comments():
    found = [(each.line, each.keyword, each.words) for each in read_instructions(TEXT)]
    assert found == [
        (2, "ARG", "BASE_IMAGE=python"),
        (3, "FROM", "${BASE_IMAGE} AS tools"),
        (4, "RUN", "first && second"),
        (8, "FROM", "tools as platform"),
        (9, "ENV", "A=1"),
    ]


def test_stages_are_found_by_their_names():
    instructions = list(read_instructions(TEXT))
    assert [each.keyword for each in find_stage(instructions, "tools", "Dockerfile")] == ["RUN"]
    assert [each.keyword for each in find_stage(instructions, "platform", "Dockerfile")] == ["ENV"]
    with pytest.raises(WorkspaceError, match=r"Dockerfile: has no stage 'other'"):
        find_stage(instructions, "other", "Dockerfile")


def test_a_dollar_with_a_backslash_is_none():
    assert expand(r"\$A $B ${C:-x} ${D}", {"A": "a", "B": "b"}) == "$A b x "


def test_pairs_may_be_quoted():
    assert read_pairs("A=1 B='x y' C=\"$A z\"", {"A": "2"}) == {"A": "1", "B": "x y", "C": "2 z"}


@pytest.mark.parametrize(
    ("text", "words"),
    [('["a", "b c"]', ["a", "b c"]), ("a b", ["/bin/sh", "-c", "a b"]), ("[1]", ["/bin/sh", "-c", "[1]"])],
)
def test_commands_are_json_or_for_a_shell(text, words):
    assert read_command(text) == words


def test_health_checks_are_in_nanoseconds():
    assert read_health("--interval=1m30s --start-period=500ms CMD true") == {
        "Interval": 90 * 10**9,
        "StartPeriod": 500 * 10**6,
        "Test": ["CMD-SHELL", "true"],
    }
    assert read_health("NONE") == {"Test": ["NONE"]}
