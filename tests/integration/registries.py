"""A real registry for tests: Debian's docker-registry, on a port of its own."""

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from tests.integration.tiny_workspace import free_port

# `htpasswd -Bbn me secret`
_USERS = "me:$2y$05$M0CTeDGzG8T95z7QYwXUp.cbwXN5NBReu8TGm04W7/9BEVeZ8e09a\n"
_SETTINGS = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
  maintenance: {{readonly: {{enabled: {read_only}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def running_registry(
    folder: Path, *, users: bool = False, read_only: bool = False, tokens: str | None = None
) -> Iterator[str]:
    """Run a registry whose files are below `folder`; yields its host with its port. Skips where there is none.

    `tokens` are its settings for those of a token service.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("REGISTRY NOT TESTED: docker-registry is not installed: apt-get install docker-registry")
    folder.mkdir(exist_ok=True)
    port = free_port()
    settings = _SETTINGS.format(root=folder / "files", port=port, read_only=str(read_only).lower())
    if users:
        (folder / "users").write_text(_USERS)
        settings += f"auth: {{htpasswd: {{realm: test, path: {folder / 'users'}}}}}\n"
    if tokens is not None:
        settings += f"auth: {{token: {tokens}}}\n"
    (folder / "settings.yml").write_text(settings)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "settings.yml"], stdout=log, stderr=log)
    try:
        _wait(port, process)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
            return
        except HTTPError as error:  # it asks who is there
            error.close()
            return
        except URLError:
            assert process.poll() is None, "the registry has ended"
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.05)


def credentials(folder: Path, host: str, user: str = "me", password: str = "secret") -> dict[str, str]:
    """The variables of somebody who is logged in."""
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(f'{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}')
    return {**os.environ, "DOCKER_CONFIG": str(folder)}
