"""What an engine says while it pulls and builds: whose words a line is, and the error that it ends with."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.errors import EngineError

_CHATTER = re.compile(
    r"(?:\[\d+/\d+\] )?(?:(?:Step|STEP) \d+/\d+ ?: .*|COMMIT .*)"
    r"| ?-+> (?:Using cache.*|Running in .*|Removed intermediate .*|[0-9a-f]{8,64})"
    r"|Remov(?:ed|ing) intermediate container .*|\[Warning\] One or more build-args .*"
    r"|Successfully (?:built|tagged) .*|[0-9a-f]{64}"
)


def is_chatter(line: str) -> bool:
    """Tell whether Docker's or Podman's builder says this of itself, not a command of the Dockerfile.

    >>> [is_chatter(line) for line in ("Step 2/19 : USER 1001", " ---> Running in c5d619ff593a", "COMMIT a")]
    [True, True, True]
    >>> is_chatter("---> Installing the application"), is_chatter("Successfully installed uv-0.9.2")
    (False, False)
    """
    return _CHATTER.fullmatch(line) is not None


def raise_error(event: Mapping[str, Any], action: str, last: Iterable[str] = ()) -> None:
    """Raise EngineError for an event that is one, with the `last` lines before it."""
    if "error" in event:
        tail = "".join(f"\n  {line}" for line in [*last][-15:])
        raise EngineError(f"the engine could not {action}: {event['error']}{tail}")
