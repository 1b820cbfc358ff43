"""What a step reads of config.yaml, checked: errors name the parameter, its value, and what was expected."""

from collections.abc import Mapping
from typing import Any

_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_CHAIN = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, ~/.aws/credentials, or the machine's role"


def read_number(group: Mapping[str, Any], name: str, kind: type = int, *, least: float = 1) -> Any:
    """Return a number; a list of one stands for it. Raise ValueError for what is none, or less than `least`."""
    value = group.get(name.rpartition(".")[2])
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        raise ValueError(f"{name} is {value}, expected one number: a search takes one of a list for each trial")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < least or value != kind(value):
        raise ValueError(f"{name} is {value!r}, expected a {'whole ' * (kind is int)}number from {least:g} on")
    return kind(value)


def read_choice(group: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """Return one of some words; raise ValueError that lists them."""
    value = group.get(name.rpartition(".")[2])
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
    return str(value)


def refuse_keys(aws: Mapping[str, Any]) -> None:
    """Raise ValueError where a key is written into the configuration, which is copied into records."""
    for name in _KEYS:
        if aws.get(name):
            raise ValueError(f"aws.{name} is set: no key belongs into a configuration. Take it out; use {_CHAIN}")
