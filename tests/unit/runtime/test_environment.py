"""`.s2i/environment`: what a person may write there, and what they are told when they may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.environment import format_environment, parse_environment, read_environment
from modelyard.runtime.errors import InputError

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
values = st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"]), max_size=40)


@given(st.dictionaries(names, values))
def test_format_and_parse_are_inverse(variables):
    assert parse_environment(format_environment(variables)) == variables


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\n", {"A": "1"}),
        ("A=1", {"A": "1"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("# note\n\n  \nA=1\n", {"A": "1"}),
        ("A=x#y=z # kept", {"A": "x#y=z # kept"}),
        ("A='quoted'\nB=\"two words \"", {"A": "quoted", "B": "two words "}),
        ("A=it's\nB=\"", {"A": "it's", "B": '"'}),
        ("A=", {"A": ""}),
        (" A = 1 ", {"A": "1"}),
    ],
)
def test_what_may_be_written(text, expected):
    assert parse_environment(text) == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("A=1\nROUTES\n", "env:2: 'ROUTES' has no '='", "KEY=VALUE"),
        ("export A=1", "env:1: 'export A' is no variable name", "leave 'export' out"),
        ("1A=1", "env:1: '1A' is no variable name", "no digit first"),
        ("=1", "env:1: '' is no variable name", "no digit first"),
        ("A=1\n\nA=2", "env:3: A is set a second time (first at line 1)", "keep one"),
        ("A=\0", "env:1: the value of A holds a NUL byte", "remove it"),
    ],
)
def test_what_is_refused_names_file_line_and_way_out(text, message, hint):
    with pytest.raises(InputError) as caught:
        parse_environment(text, source="env")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_variable_knows_where_it_was_set(tmp_path):
    path = tmp_path / "environment"
    path.write_bytes(b"# one\nA=1\n")
    assert read_environment(path).where("A") == f"{path}:2"


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "environment"
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(InputError, match=r"environment: not UTF-8 text \(byte 2\)"):
        read_environment(path)
    with pytest.raises(InputError, match="no such file"):
        read_environment(tmp_path / "missing")


def test_a_value_with_a_line_break_cannot_be_written():
    with pytest.raises(InputError, match="does not fit on one line"):
        format_environment({"A": "1\nB=2"})
    with pytest.raises(InputError, match="no variable name"):
        format_environment({"A=1\nB": "2"})
