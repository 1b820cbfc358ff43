"""Build a Dockerfile in the engine."""

import re
from collections import deque
from typing import IO, Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.events import is_chatter, raise_error
from modelyard.engines.docker.workshop import LAST_LINES
from modelyard.engines.protocols import OnOutput

_BUILT = re.compile(r"Successfully built ([0-9a-f]+)")


def run_build(client: Client, archive: IO[bytes], *, action: str, on_output: OnOutput, **options: Any) -> str:
    """Let the engine build a Dockerfile of the context `archive`; return the image's id."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    image = ""
    with client.talking(action):
        events = client.api.build(
            fileobj=archive, custom_context=True, rm=True, forcerm=True, decode=True, use_config_proxy=False, **options
        )
        for event in events:
            raise_error(event, action, last)
            image = event.get("aux", {}).get("ID", image) or image
            for line in event.get("stream", "").splitlines():
                last.append(line)
                image = _BUILT.sub(r"\1", line) if _BUILT.fullmatch(line) else image
                if line.strip() and not is_chatter(line):
                    on_output(line)
    return image
