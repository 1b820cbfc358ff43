"""S2I scripts: which one is used, from where. The order is the command line, `.s2i/bin` of the source, the image.

https://github.com/openshift/source-to-image/blob/master/docs/builder_image.md#s2i-scripts
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from modelyard.errors import InputError
from modelyard.s2i.builder import SCRIPTS_URL

NAMES = ("assemble", "run", "save-artifacts", "usage", "assemble-runtime")
REQUIRED = {"assemble", "run"}
_TIMEOUT = 60


@dataclass(frozen=True, kw_only=True)
class Scripts:
    """Where each script is in the container; `uploaded` are those that were brought there from outside."""

    paths: Mapping[str, str]
    uploaded: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> str:
        """The path of a script in the container."""
        return self.paths[name]


@dataclass(frozen=True, kw_only=True)
class ScriptsUrl:
    """Where a flag or a label says that scripts are: in the image, or in a folder or at a URL they are fetched from."""

    url: str
    said_by: str
    directory: Path

    def __post_init__(self) -> None:
        """Raise InputError for what is no such place."""
        scheme = urlsplit(self.url).scheme
        if self.is_in_image and not self.path.startswith("/"):
            raise InputError(
                f"{self}: the path in the image is not absolute", hint="for example image:///usr/libexec/s2i"
            )
        if "://" in self.url and scheme not in ("image", "file", "http", "https"):
            raise InputError(f"{self}: {scheme}:// is not understood", hint="image://, file:// or http(s)://")

    def __str__(self) -> str:
        """What errors call it."""
        return f"{self.said_by} {self.url!r}"

    @property
    def is_in_image(self) -> bool:
        """Whether the image has the scripts; which of them is not known before they run."""
        return self.url.startswith("image:")

    @property
    def path(self) -> str:
        """The folder in the image."""
        return self.url.removeprefix("image://").rstrip("/")

    def fetch(self, name: str, target: Path) -> bool:
        """Fetch a script; False where there is none of that name, or no URL at all."""
        if not self.url or self.is_in_image:
            return False
        if urlsplit(self.url).scheme in ("http", "https"):
            return self._download(name, target)
        path = self.directory / unquote(self.url.removeprefix("file://")) / name
        if path.is_file():
            shutil.copyfile(path, target)
        return path.is_file()

    def _download(self, name: str, target: Path) -> bool:
        try:
            with urlopen(f"{self.url.rstrip('/')}/{name}", timeout=_TIMEOUT) as answer:
                target.write_bytes(answer.read())
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise InputError(f"{self}: {name}: {error.code} {error.reason}", hint="check the URL") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise InputError(f"{self}: {name}: {reason}", hint="check the URL and the proxy") from None
        return True


def find_scripts(
    folder: Path,
    *,
    url: str,
    source: Path | None,
    image_url: str,
    destination: str,
    directory: Path,
    source_name: str = "the source",
    builder: str = "the builder image",
) -> Scripts:
    """Decide for each script, and lay those from outside the image out in `folder`.

    `url` is `--scripts-url`, `image_url` the builder's label, `destination` where uploads go in the container. Raises
    InputError for a flag that leads to no script, and for a label that does not lead to one that nothing else has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flag = ScriptsUrl(url=url, said_by="--scripts-url", directory=directory)
    label = ScriptsUrl(url=image_url, said_by=f"{builder}: its label {SCRIPTS_URL}", directory=directory)
    paths: dict[str, str] = {}
    uploaded: dict[str, str] = {}
    found: set[str] = set()  # by the flag
    failed: list[InputError] = []
    for name in NAMES:
        own = source / ".s2i" / "bin" / name if source is not None else None
        if flag.fetch(name, folder / name):
            found.add(name)
            uploaded[name] = f"{url.rstrip('/')}/{name}"
        elif flag.is_in_image:
            paths[name] = f"{flag.path}/{name}"
        elif own is not None and own.is_file():
            shutil.copyfile(own, folder / name)
            uploaded[name] = f"{source_name}/.s2i/bin/{name}"
        elif label.is_in_image:
            paths[name] = f"{label.path}/{name}"
        else:
            try:
                if label.fetch(name, folder / name):
                    uploaded[name] = f"{image_url.rstrip('/')}/{name}"
            except InputError as error:
                failed.append(error)
    if url and not flag.is_in_image and not found:
        raise InputError(f"{flag}: there is none of {', '.join(NAMES)}", hint="correct the folder or URL")
    for name, place in uploaded.items():
        (folder / name).chmod(0o755)
        _check_line_ends(folder / name, place)
        paths[name] = f"{destination}/scripts/{name}"
    if failed and not paths.keys() >= REQUIRED:
        raise failed[0]
    return Scripts(paths=paths, uploaded=frozenset(uploaded))


def _check_line_ends(path: Path, place: str) -> None:
    if b"\r\n" in path.read_bytes():
        raise InputError(
            f"{place}: Windows line ends (CRLF), which bash reads as part of the commands", hint="save it with LF"
        )
