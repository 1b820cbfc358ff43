import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.images.dockerfile.words import WordError, expand, split_pairs

# From https://docs.docker.com/reference/dockerfile/#environment-replacement, and moby's own table of words.
VALUES = {"PWD": "/home", "SHELL": "bash", "EMPTY": "", "ZH": "中文"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ("he\\'llo", "he'llo"),
        ('"he\\"llo"', 'he"llo'),
        ('"he\\llo"', "he\\llo"),
        ("'$PWD'", "$PWD"),
        ("\\$PWD", "$PWD"),
        ("$PWD/x", "/home/x"),
        ("${PWD}x", "/homex"),
        ("$PWDx", ""),
        ("$", "$"),
        ("a$.b", "a$.b"),
        ("${NONE:-a$PWD}", "a/home"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${SHELL:+yes}", "yes"),
        ("${EMPTY:+yes}", ""),
        ("${EMPTY+yes}", "yes"),
        ("${NONE:-${SHELL}}", "bash"),
        ("${NONE:-'$SHELL'}", "$SHELL"),
        ("he$ZH", "he中文"),
    ],
)
def test_words_are_expanded(word, value):
    assert expand(word, VALUES.get) == value


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("'a", "no end"),
        ('"a', "no end"),
        ("${PWD", "known here"),
        ("${PWD#x}", "is not known"),
        ("${NONE:?give it}", "give it"),
        ("${}", "no name"),
        ("${PWD:-a", "lacks"),
    ],
)
def test_a_broken_word_says_why(word, said):
    with pytest.raises(WordError, match=said):
        expand(word, VALUES.get)


@given(st.text(st.characters(exclude_characters="\0$`", exclude_categories=("Cs",))))
def test_what_a_shell_quotes_comes_back(text):
    assert expand(shlex.quote(text), VALUES.get) == text


def test_pairs_keep_their_quotes():
    assert split_pairs("A=1 B=\"x y\" C=\\  D='a b'c") == [("A", "1"), ("B", '"x y"'), ("C", "\\ "), ("D", "'a b'c")]
    assert split_pairs("A the rest  of it") == [("A", "the rest  of it")]


@pytest.mark.parametrize("text", ["A", "A=1 B", 'A="x'])
def test_what_is_no_pair_is_an_error(text):
    with pytest.raises(WordError):
        split_pairs(text)
