"""The network profile inside a container: variables whose paths point at mounts of this machine's files.

Nothing is copied: a CA bundle or a wheelhouse is mounted while a command runs, and no layer has it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.engines.docker.workshop import Folder
from modelyard.network import CERTIFICATES, NetworkProfile
from modelyard.runtime.scratch import scratch_folder

PLACE = "/opt/modelyard/network"
"""Where builder images have an empty folder to mount on: a mount point made on the fly would be part of a layer."""

NETWORK = "MODELYARD_BUILD_NETWORK"
# Where uv keeps what it has on this machine: a container has its own places for that.
_PLACES = frozenset({"UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_CACHE_DIR", "UV_TOOL_DIR"})
_LISTS = re.compile(r"([\s,]+)")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class ContainerProfile:
    """What commands in a container get: variables, mounts, and the engine's network to join.

    `host` is what the variables are on this machine.
    """

    host: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[Folder, ...] = ()
    network: str | None = None


@contextmanager
def container_profile(profile: NetworkProfile, environ: Mapping[str, str]) -> Iterator[ContainerProfile]:
    """Lay out a folder with a place for each file and folder that the profile names, to mount as a whole."""
    mounts: dict[str, str] = {}
    kept = {name: value for name, value in profile.variables.items() if value and name not in _PLACES}
    variables = {name: _translate(name, value, mounts) for name, value in kept.items()}
    bundle = next((variables[name] for name in CERTIFICATES[:3] if name in variables), None)
    with scratch_folder() as root:
        root.chmod(0o755)
        if bundle is not None:
            variables |= {
                **dict.fromkeys((*CERTIFICATES[:4], "GIT_SSL_CAINFO"), bundle),
                "APT_CONFIG": f"{PLACE}/apt.conf",
            }
            (root / "apt.conf").write_text(f'Acquire::https::CaInfo "{bundle}";\n', encoding="utf-8")
        for source, target in mounts.items():
            place = root / Path(target).relative_to(PLACE)
            place.mkdir() if Path(source).is_dir() else place.touch()
        folders = (
            # Read-only, Docker Engine 26 copies no files into the container: it opens the places of files to write.
            Folder(source=str(root), target=PLACE, read_only=False),
            *(Folder(source=s, target=t) for s, t in sorted(mounts.items())),
        )
        network = choose_network(profile, environ)
        yield ContainerProfile(host=profile.variables, variables=variables, folders=folders, network=network)


def choose_network(profile: NetworkProfile, environ: Mapping[str, str]) -> str | None:
    """The engine's network for builds: MODELYARD_BUILD_NETWORK, `host` for a proxy on this machine, else its own."""
    if environ.get(NETWORK):
        return environ[NETWORK]
    proxies = [
        value for name, value in profile.variables.items() if name.lower() in ("http_proxy", "https_proxy", "all_proxy")
    ]
    return "host" if any(urlsplit(proxy).hostname in _LOOPBACK for proxy in proxies) else None


def _translate(name: str, value: str, mounts: dict[str, str]) -> str:
    """Point the paths in a variable's value at mounts; what is no path stays as it is."""
    return "".join(_translate_item(item, mounts) for item in _LISTS.split(value))


def _translate_item(item: str, mounts: dict[str, str]) -> str:
    scheme, path = ("file://", unquote(item.removeprefix("file://"))) if item.startswith("file://") else ("", item)
    if not path.startswith("/") or not Path(path).exists():
        return item
    target = mounts.setdefault(_shared_root(path), f"{PLACE}/{len(mounts)}")
    return scheme + target + path.removeprefix(_shared_root(path))


def _shared_root(path: str) -> str:
    """What to mount for a path: a simple index is mounted with the folder beside it, which its links point into."""
    place = Path(path.rstrip("/"))
    return str(place.parent if place.name == "simple" and place.is_dir() else place)
