"""Names to choose from, as an error says them: all where they are few, else those nearest to what was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_FEW = 5
_SHOWN = 3
_NEAR = 0.6
_LOOKED_AT = 1000


def describe_choices(wanted: str, names: Iterable[str], *, none: str = "none") -> str:
    """The names there are, in their order; of many the three that are nearest to `wanted`, and how many others.

    >>> describe_choices("irs", ["rose", "iris"])
    'rose, iris'
    >>> describe_choices("model7", [f"model{number}" for number in range(10)])
    'model7, model0, model1 and 7 others'
    """
    known = list(dict.fromkeys(names))
    if len(known) <= _FEW:
        return ", ".join(known) or none
    shown = sorted(known[:_LOOKED_AT], key=lambda name: -_likeness(wanted, name))[:_SHOWN]
    return f"{', '.join(shown)} and {len(known) - _SHOWN} others"


def find_nearest(wanted: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant; None where none is near.

    >>> find_nearest("flower/irs", ["flowers/iris", "flowers/rose"]), find_nearest("tree", ["flowers/iris"])
    ('flowers/iris', None)
    """
    near = max(names, key=lambda name: _likeness(wanted, name), default=None)
    return near if near is not None and _likeness(wanted, near) >= _NEAR else None


def ask_whether_meant(wanted: str, names: Sequence[str]) -> str:
    """`; did you mean ...?` for the end of a message, or nothing where no name is near.

    >>> ask_whether_meant("irs", ["flowers/iris"]), ask_whether_meant("tree", ["flowers/iris"])
    ('; did you mean flowers/iris?', '')
    """
    near = find_nearest(wanted, names)
    return "" if near is None else f"; did you mean {near}?"


def _likeness(wanted: str, name: str) -> float:
    """From 0 to 1, whatever the case; a name with `/` is as like as its last part where `wanted` is one part alone."""
    from difflib import SequenceMatcher  # loads on use: most names are right

    written, known = wanted[:200].lower(), name[:200].lower()
    forms = {known} if "/" in written else {known, known.rpartition("/")[2]}
    return max(SequenceMatcher(None, written, form).ratio() for form in forms)
