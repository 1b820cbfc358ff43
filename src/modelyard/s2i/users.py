"""Who may run what in a build: `--allowed-uids`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelyard.errors import InputError

_RANGE = re.compile(r"(?P<low>[0-9]*)(?P<dash>-?)(?P<high>[0-9]*)")
_USER = re.compile(r"USER\s+(?P<user>.*)", re.IGNORECASE)


@dataclass(frozen=True)
class AllowedUids:
    """The uids that may run what the images hold; all of them where nothing was said."""

    text: str
    ranges: tuple[tuple[int, int | None], ...]

    @classmethod
    def parse(cls, text: str) -> "AllowedUids":
        """Read ranges; raise InputError for what is none, and for one that no uid is in.

        >>> AllowedUids.parse("1-,1000-2000,5,-3").ranges
        ((1, None), (1000, 2000), (5, 5), (0, 3))
        """
        return cls(text, tuple(_parse_range(part.strip(), text) for part in text.split(",")) if text else ())

    def check(self, user: str, what: str) -> None:
        """Raise InputError where a user, as an image or a flag writes it, is not among them."""
        if not self.text:
            return
        uid = read_user(user)
        if not is_uid(uid):
            raise InputError(
                f"{what} is {uid!r}, no number, so --allowed-uids can't be checked", hint="use a numeric user"
            )
        if not any(low <= int(uid) and (high is None or int(uid) <= high) for low, high in self.ranges):
            raise InputError(
                f"{what} is {uid}, which --allowed-uids {self.text} does not allow",
                hint="use --assemble-user, or an image with another user",
            )


def read_user(text: str) -> str:
    """The user of `user[:group]`; what is empty is root.

    >>> read_user("1001:0"), read_user("")
    ('1001', '0')
    """
    return text.partition(":")[0].strip() or "0"


def is_uid(user: str) -> bool:
    """Whether a user is a number: what the engine does with a name, its image decides."""
    return user.isascii() and user.isdecimal()


def find_users(instructions: Iterable[str]) -> list[str]:
    r"""The users that instructions of a Dockerfile change to.

    >>> find_users(["COPY . /app", "user\t0:0", "RUN make"])
    ['0:0']
    """
    return [match["user"].strip() for line in instructions if (match := _USER.fullmatch(line.strip()))]


def _parse_range(part: str, text: str) -> tuple[int, int | None]:
    match = _RANGE.fullmatch(part)
    if match is None or not (match["low"] or match["high"]):
        raise InputError(
            f"--allowed-uids {text!r}: {part!r} is no uid and no range of them", hint="for example 1-, 1000-2000,3000"
        )
    low = int(match["low"] or 0)
    high = int(match["high"]) if match["high"] else None if match["dash"] else low
    if high is not None and high < low:
        raise InputError(f"--allowed-uids {text!r}: no uid is in {part}", hint=f"write {high}-{low}")
    return low, high
