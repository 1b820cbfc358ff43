"""S2I scripts: which one is used, from where. The order is the command line, `.s2i/bin` of the source, the image.

https://github.com/openshift/source-to-image/blob/master/docs/builder_image.md#s2i-scripts
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from modelyard.errors import InputError

NAMES = ("assemble", "run", "save-artifacts", "usage", "assemble-runtime")
_TIMEOUT = 60


@dataclass(frozen=True, kw_only=True)
class Scripts:
    """Where each script is in the container; `uploaded` are those that were brought there from outside."""

    paths: Mapping[str, str]
    uploaded: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> str:
        """The path of a script in the container."""
        return self.paths[name]


def find_scripts(
    folder: Path, *, url: str, source: Path | None, image_url: str, destination: str, directory: Path
) -> Scripts:
    """Decide for each script, and lay those from outside the image out in `folder`.

    `url` is `--scripts-url`, `image_url` the builder's label, `destination` where uploads go in the container.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, str] = {}
    uploaded: set[str] = set()
    own = source / ".s2i" / "bin" if source is not None else None
    for name in NAMES:
        if url and not url.startswith("image://") and _fetch(url, name, folder / name, directory):
            uploaded.add(name)
        elif url.startswith("image://"):
            paths[name] = f"{_image_path(url)}/{name}"
        elif own is not None and (own / name).is_file():
            shutil.copyfile(own / name, folder / name)
            uploaded.add(name)
        elif image_url:
            paths[name] = f"{_image_path(image_url)}/{name}"
    for name in uploaded:
        (folder / name).chmod(0o755)
        _check_line_ends(folder / name)
        paths[name] = f"{destination}/scripts/{name}"
    return Scripts(paths=paths, uploaded=frozenset(uploaded))


def _image_path(url: str) -> str:
    return url.removeprefix("image://").rstrip("/")


def _fetch(url: str, name: str, target: Path, directory: Path) -> bool:
    """Fetch one script; False where the URL has none of that name, which is no error for any but all of them."""
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        path = directory / unquote(url.removeprefix("file://")) / name
        if not path.is_file():
            return False
        shutil.copyfile(path, target)
        return True
    if parts.scheme not in ("http", "https"):
        raise InputError(
            f"--scripts-url {url!r}: {parts.scheme}:// is not understood", hint="image://, file:// or http(s)://"
        )
    try:
        with urlopen(f"{url.rstrip('/')}/{name}", timeout=_TIMEOUT) as answer:
            target.write_bytes(answer.read())
    except URLError as error:
        if getattr(error, "code", None) == 404:
            return False
        raise InputError(f"--scripts-url {url}/{name}: {error.reason}", hint="check the URL and the proxy") from None
    return True


def _check_line_ends(path: Path) -> None:
    if b"\r\n" in path.read_bytes():
        raise InputError(
            f"{path.name}: Windows line ends (CRLF), which bash reads as part of the commands", hint="save it with LF"
        )
