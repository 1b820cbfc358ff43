"""What registries refuse, in this house's words; and the attempts after a cut."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelyard.engines.oci.address import Address
from modelyard.errors import EngineError

if TYPE_CHECKING:
    from requests import Response

_TRIES = 5
_PAUSE = 0.25
_LONGEST = 300
_HINTS = {
    401: "modelyard login {host}",
    403: "this user may not do that there: ask for the right, or modelyard login {host} as another",
    404: "is the name right? `modelyard tags {host}/{name}` lists what there is",
    405: "it takes no pushes (a mirror, or read-only): push to another",
    413: "the registry, or a proxy before it, takes no upload of that size",
}


class RegistryError(EngineError):
    """A registry refused, or what it said is not what it should be; `answered` is the status of its answer."""

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.answered = status


class CutError(Exception):
    """The connection ended, or the registry asked to come again: the same may be tried once more."""


class Attempt:
    """One try of several, as a context: a cut inside makes way for the next, in the last one it is an error."""

    def __init__(self, action: str, number: int) -> None:
        self.number = number
        self._action = action

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, CutError):
            return False
        if self.number + 1 == _TRIES:
            raise RegistryError(
                f"could not {self._action}: {error} ({_TRIES} tries)", hint="is the registry there, and in reach?"
            ) from error
        time.sleep(_PAUSE * 2**self.number)
        return True


def attempts(action: str) -> Iterator[Attempt]:
    """The tries that one action gets; leave the loop when it is done."""
    return (Attempt(action, number) for number in range(_TRIES))


def refuse(address: Address, answer: "Response", action: str) -> RegistryError:
    """The error for an answer that is none of what was asked for."""
    hint = _HINTS.get(answer.status_code, "the registry's own log may say more")
    return RegistryError(
        f"the registry refused to {action}: {answer.status_code} {describe(answer)}".rstrip(),
        hint=hint.format(host=address.host, name=address.name),
        status=answer.status_code,
    )


def describe(answer: "Response") -> str:
    """The registry's own words, shortened; nothing of what it was sent is in them.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
    """
    try:
        errors = answer.json()["errors"]
        return "; ".join(f"{each.get('code')}: {each.get('message')}" for each in errors)[:_LONGEST]
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.reason or ""
