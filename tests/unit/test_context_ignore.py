"""The rules of .s2iignore."""

from pathlib import PurePosixPath

import pytest

from modelyard.context.ignore import parse_ignore_rules
from modelyard.errors import InputError


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        ("*.log", "a.log", True),
        ("*.log", "sub/a.log", False),
        ("*/*.log", "sub/a.log", True),
        ("**/*.log", "a/b/c.log", True),
        ("temp?", "temp1", True),
        ("temp?", "temp12", False),
        ("notes", "notes/deep/a.txt", True),
        ("notes/", "notes/a.txt", True),
        ("/notes", "notes/a.txt", True),
        ("./notes", "notes/a.txt", True),
        ("[a-c].py", "b.py", True),
        ("[^a-c].py", "b.py", False),
        ("# a comment\n\n", "a", False),
        ("a.b", "aXb", False),
        ("*\n!predict.py", "predict.py", False),
        ("*\n!predict.py", "train.py", True),
        ("!predict.py\n*", "predict.py", True),
        ("secret\n!secret/public.txt", "secret/public.txt", False),
        ("secret\n!secret/public.txt", "secret/key", True),
    ],
)
def test_last_rule_that_matches_decides(rules, path, ignored):
    assert parse_ignore_rules(rules).is_ignored(PurePosixPath(path)) is ignored


def test_pattern_that_is_none_names_its_line():
    with pytest.raises(InputError, match=r"\.s2iignore:2: '\[z-a\]'"):
        parse_ignore_rules("a\n[z-a]")
