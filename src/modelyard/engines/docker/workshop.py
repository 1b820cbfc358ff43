"""A container to build in: started idle, worked in by exec, committed or read from, and always removed.

What a command needs to know (proxies, credentials of an index) goes to it with exec, so the container's configuration,
and with it every image committed of it, has none of that.
"""

import base64
import codecs
import json
import os
import re
import secrets
import socket
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Any

from modelyard.engines.docker.client import Client, is_missing
from modelyard.engines.docker.upload import write_upload
from modelyard.engines.protocols import OnOutput
from modelyard.errors import EngineError
from modelyard.images.folders import Folders
from modelyard.images.layer import ChunkReader

WORKSHOP = "modelyard-workshop"
_NAME = re.compile(rf"/?{WORKSHOP}-(?P<host>[A-Za-z0-9]*)-(?P<pid>[0-9]+)-[0-9a-f]+")
LAST_LINES = 40
# The bits of a folder and of a link in a mode as Go writes it: https://pkg.go.dev/io/fs#FileMode
_GO_FOLDER, _GO_LINK = 1 << 31, 1 << 27
_IDLE = ["sleep", "2147483647"]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder or file of this machine, or a named volume of the engine, that a workshop sees at `target`."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Workshop:
    """A container that runs nothing but what is asked of it."""

    client: Client
    id: str

    def upload(self, archive: bytes | IO[bytes], target: str) -> None:
        """Unpack a tar in the folder `target`."""
        with self.client.talking(f"copy files into {target}"):
            self.client.api.put_archive(self.id, target, archive)

    def bring(self, trees: Mapping[str, Path], *, uid: int, shared: bool = False) -> list[str]:
        """Copy folders of this machine to their places, as `write_upload` says; return the paths of the files."""
        with TemporaryFile() as file:
            files = write_upload(file, trees, uid=uid, folders=self.folders, shared=shared)
            file.seek(0)
            self.upload(file, "/")
        return files

    @cached_property
    def folders(self) -> Folders:
        """The folders of the container, each as it was when it was first asked for."""
        return Folders(self.find_folder)

    def find_folder(self, path: PurePosixPath) -> PurePosixPath | None:
        """The folder at `path`, or the one that a link there leads to; None where there is neither."""
        api = self.client.api
        with self.client.talking(f"look at {path}"):
            found = api.head(api._url("/containers/{0}/archive", self.id), params={"path": str(path)})
        if not found.ok:
            return None
        told = json.loads(base64.b64decode(found.headers["X-Docker-Container-Path-Stat"]))
        if told["mode"] & _GO_LINK:
            target = PurePosixPath(told["linkTarget"])
            return self.find_folder(target) if target != path else None
        return path if told["mode"] & _GO_FOLDER else None

    @contextmanager
    def download(self, path: str) -> Iterator[IO[bytes]]:
        """The tar of a file or folder."""
        with self.client.talking(f"read {path}"):
            chunks, _ = self.client.api.get_archive(self.id, path)
            yield ChunkReader(chunks)  # type: ignore[misc]

    def read_file(self, path: str) -> bytes | None:
        """The content of a file; None where there is no file."""
        try:
            with self.download(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
                member = archive.next()
                content = archive.extractfile(member) if member is not None and member.isreg() else None
                return content.read() if content is not None else None
        except EngineError as error:
            if is_missing(error):
                return None
            raise

    def execute(
        self,
        command: Sequence[str],
        *,
        user: str,
        environment: Mapping[str, str],
        on_output: OnOutput,
        workdir: str | None = None,
    ) -> tuple[int, list[str]]:
        """Run a command to its end; return its exit code and its last lines."""
        last: deque[str] = deque(maxlen=LAST_LINES)
        with self.client.talking(f"run {command[0]}"):
            api = self.client.api
            process = api.exec_create(
                self.id, list(command), user=user, environment=dict(environment), workdir=workdir
            )["Id"]
            with lines_of(api.exec_start(process, stream=True)) as lines:
                for line in lines:
                    last.append(line)
                    on_output(line)
            code = api.exec_inspect(process)["ExitCode"]
        if code is None:
            raise EngineError(
                f"the engine went away while {command[0]} ran", hint="look at the engine's own log, and build again"
            )
        return int(code), list(last)

    def stream(self, command: Sequence[str], target: IO[bytes], *, user: str) -> int:
        """Run a command as a user, write its standard output to a file as bytes, and return its exit code."""
        with self.client.talking(f"run {command[0]}"):
            api = self.client.api
            process = api.exec_create(self.id, list(command), stderr=False, user=user)["Id"]
            output = api.exec_start(process, stream=True)
            try:
                for chunk in output:
                    target.write(chunk)
            finally:
                with suppress(OSError):
                    output.close()
                output._response.close()
            return int(api.exec_inspect(process)["ExitCode"])

    def commit(self, *, title: str, changes: Iterable[str]) -> str:
        """Make an image of what is there now; return its id."""
        with self.client.talking("commit the container"):
            told = [_without_escapes(line) if self.client.is_podman else line for line in changes]
            made = self.client.api.commit(self.id, message=title, pause=False, changes=told)
        return str(made["Id"])


def _without_escapes(line: str) -> str:
    """Write an instruction as Podman's commit reads it: it takes the quotes off a value, and the rest for the value."""
    return re.sub(r'\\(["\\$])', r"\1", line) if line.startswith(("ENV ", "LABEL ")) else line


@contextmanager
def open_workshop(
    client: Client,
    image: str,
    *,
    folders: Iterable[Folder] = (),
    network: str | None = None,
    start: bool = True,
    title: str = "",
    user: str = "0",
    **options: Any,
) -> Iterator[Workshop]:
    """Start an idle container of `image`; remove it at the end, whatever happened.

    Without `start` it only exists, to copy files in and out; else `user` waits in it.
    `title` is what `docker history` shows for a commit.
    """
    with client.talking(f"create a container of {image}"):
        api = client.api
        host = api.create_host_config(
            binds=[f"{item.source}:{item.target}{':ro' if item.read_only else ''}" for item in folders],
            network_mode=network,
            **options,
        )
        container = api.create_container(
            image,
            command=_IDLE if start else [title or "files"],
            entrypoint=[] if start else None,
            user=user,
            host_config=host,
            name=make_name(),
            use_config_proxy=False,  # a proxy's password would become part of the image
        )["Id"]
    try:
        if start:
            with client.talking(f"start a container of {image}"):
                api.start(container)
        yield Workshop(client, container)
    finally:
        remove_container(client, container)


def remove_container(client: Client, id: str) -> None:
    """Remove a container, running or not, with its anonymous volumes; it may be gone already."""
    from docker.errors import APIError, NotFound
    from requests.exceptions import ConnectionError as Unreachable

    if not client.socket.exists:
        return
    try:
        client.api.remove_container(id, force=True, v=True)
    except (NotFound, Unreachable):
        return
    except APIError as error:
        if error.status_code != 409:  # its removal goes on already
            raise


def make_name() -> str:
    """A name, of a container or a folder, that says which process of which machine works in it; `prune` reads it."""
    return f"{WORKSHOP}-{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def is_abandoned(name: str) -> bool:
    """Tell whether the process that works in a workshop is gone; one of another machine is never taken for gone."""
    match = _NAME.fullmatch(name)
    if match is None or match["host"] != _host():
        return False
    try:
        os.kill(int(match["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())


@contextmanager
def lines_of(stream: Any) -> Iterator[Iterator[str]]:
    """The lines of an SDK's stream, which is closed with its socket in the end: the SDK forgets the socket."""
    try:
        yield split_lines(stream)
    finally:
        with suppress(OSError):
            stream.close()
        stream._response.close()


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of an output that comes in pieces, which break lines and characters anywhere.

    >>> list(split_lines([b"a\\nb", b"c\\r\\n", b"end"]))
    ['a', 'bc', 'end']
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pending = ""
    for chunk in chunks:
        *lines, pending = (pending + decoder.decode(chunk)).split("\n")
        yield from (line.removesuffix("\r") for line in lines)
    pending += decoder.decode(b"", final=True)
    if pending:
        yield pending


@contextmanager
def copied(workshop: Workshop, path: str) -> Iterator[IO[bytes]]:
    """A temporary file with the tar of `path`, to read more than once."""
    with TemporaryFile() as file, workshop.download(path) as archive:
        while block := archive.read(1 << 20):
            file.write(block)
        file.seek(0)
        yield file
