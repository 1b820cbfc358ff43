"""Variables and quotes in the words of instructions.

https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

import re
from collections.abc import Callable, Iterator

Lookup = Callable[[str], str | None]
"""The value of a variable; None where it is not set."""


class WordError(ValueError):
    """A word that can't be expanded; the message says why."""


def expand(word: str, lookup: Lookup, escape: str = "\\") -> str:
    r"""Expand variables, and remove quotes and escapes. Raises WordError.

    >>> expand('"$A b"/${C:-none}/\\$A', {"A": "1"}.get)
    '1 b/none/$A'
    """
    return _Expansion(word, lookup, escape).read("")


def split_pairs(text: str, escape: str = "\\") -> list[tuple[str, str]]:
    """The `key=value` pairs of ENV and LABEL, quotes as they are; the old form is `key value`. Raises WordError.

    >>> split_pairs('A="x y" B=2'), split_pairs("A x y")
    ([('A', '"x y"'), ('B', '2')], [('A', 'x y')])
    """
    words = list(_split(text, escape))
    if words and "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value:
            raise WordError(f"{key} has no value")
        return [(key, value.strip())]
    wrong = next((word for word in words if "=" not in word), None)
    if wrong is not None:
        raise WordError(f"{wrong!r} is no key=value")
    return [(key, value) for key, _, value in (word.partition("=") for word in words)]


def _split(text: str, escape: str) -> Iterator[str]:
    """Words between blanks that no quotes hold."""
    word, quote, place = "", "", 0
    while place < len(text):
        char = text[place]
        if char == escape and quote != "'" and place + 1 < len(text):
            word, place = word + text[place : place + 2], place + 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            if word:
                yield word
            word, place = "", place + 1
            continue
        word, place = word + char, place + 1
    if quote:
        raise WordError(f"the quote {quote} has no end")
    if word:
        yield word


class _Expansion:
    def __init__(self, text: str, lookup: Lookup, escape: str) -> None:
        self._text, self._lookup, self._escape = text, lookup, escape
        self._place = 0

    def read(self, end: str) -> str:
        """What there is up to the character `end`, which is taken."""
        result = ""
        while self._place < len(self._text):
            char = self._take()
            if char == end:
                return result
            if char == "'":
                result += self._read_single()
            elif char == '"':
                result += self._read_double()
            elif char == "$":
                result += self._read_variable()
            elif char == self._escape:
                result += self._take()
            else:
                result += char
        if end:
            raise WordError(f"{self._text!r} lacks {end!r}")
        return result

    def _take(self) -> str:
        char = self._text[self._place : self._place + 1]
        self._place += 1
        return char

    def _read_single(self) -> str:
        end = self._text.find("'", self._place)
        if end < 0:
            raise WordError("the quote ' has no end")
        found, self._place = self._text[self._place : end], end + 1
        return found

    def _read_double(self) -> str:
        result = ""
        while self._place < len(self._text):
            char = self._take()
            if char == '"':
                return result
            if char == "$":
                result += self._read_variable()
            elif char == self._escape and self._text[self._place : self._place + 1] in ('"', "$", self._escape):
                result += self._take()
            else:
                result += char
        raise WordError('the quote " has no end')

    def _read_variable(self) -> str:
        match = re.compile(r"\{?([A-Za-z_][A-Za-z0-9_]*)").match(self._text, self._place)
        if match is None:
            if self._text[self._place : self._place + 1] == "{":
                raise WordError(f"{self._text!r} has no name after ${{")
            return "$"
        name, value = match[1], self._lookup(match[1])
        self._place = match.end()
        if not match[0].startswith("{"):
            return value or ""
        return self._read_modifier(name, value)

    def _read_modifier(self, name: str, value: str | None) -> str:
        char = self._take()
        if char == "}":
            return value or ""
        counts_empty = char == ":"
        kind = self._take() if counts_empty else char
        if kind not in ("-", "+", "?"):
            raise WordError(f"${{{name}{char}...}} is not known here; known are ${{{name}:-word}}, :+ and :?")
        other = self.read("}")
        is_set = bool(value) if counts_empty else value is not None
        if kind == "+":
            return other if is_set else ""
        if not is_set and kind == "?":
            raise WordError(f"{name}: {other or 'is not set'}")
        return (value or "") if is_set else other
