"""Flags of pairs as upstream takes them: each may name several, with `;` between them."""

from collections.abc import Iterable


def split_items(texts: Iterable[str]) -> list[str]:
    """The items of all the texts, without quotes around them.

    >>> split_items(["a:b; c", "'d:e'"])
    ['a:b', 'c', 'd:e']
    """
    return [item for text in texts for part in text.split(";") if (item := part.strip(" \t\"'"))]
