"""What requirements are installed for in images: the Python and the platform of a base image."""

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import discard
from modelyard.errors import EngineError

_ASK = "import platform, sys; print(f'{sys.version_info[0]}.{sys.version_info[1]} {platform.machine()}')"


def ask_target(client: Client, image: str) -> dict[str, str]:
    """The fields of the Target of an image, by its own Python."""
    with open_workshop(client, image) as workshop:
        code, lines = workshop.execute(["python3", "-c", _ASK], user="0", environment={}, on_output=discard)
    if code or len(lines) != 1:
        said = "\n".join(f"  {line}" for line in lines)
        raise EngineError(f"the base image does not tell its Python (exit code {code}):\n{said}", hint=_HINT)
    python, machine = lines[0].split()
    return {"python": python, "platform": f"{machine}-unknown-linux-gnu"}


_HINT = "a base image needs Python 3.11 as python3; MODELYARD_BASE_IMAGE names another"
