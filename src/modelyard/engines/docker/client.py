"""The connection to an engine's socket, and its errors in this house's words."""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from http.client import NOT_FOUND, HTTPException
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from modelyard.engines.docker.questions import Questions, RefusedError
from modelyard.engines.docker.sockets import ENGINES, Socket, find_answering, require_socket
from modelyard.engines.protocols import OnOutput
from modelyard.errors import EngineError, InputError, ModelyardError, PortTakenError
from modelyard.images.namespace import Namespace
from modelyard.machine.home import Home

_TRIES = 10
_LONG = 3600
"""Seconds without a byte: a compiler in setup.sh may be silent for long."""


@dataclass(frozen=True)
class Client:
    """An engine's API. `api` is the SDK's low-level client, `asks` is there sooner; use both within `talking`."""

    socket: Socket
    environ: Mapping[str, str]

    def __post_init__(self) -> None:
        """Raise EngineError where the SDK is not installed."""
        if find_spec("docker") is None:
            raise EngineError(
                f"the engine {self.socket.engine!r} needs the Python package 'docker'",
                hint="pip install 'modelyard[docker]', or use the embedded engine: --engine local",
            )

    @cached_property
    def api(self) -> Any:
        """Connect; raise EngineError where nobody answers."""
        import docker

        with self.talking(f"connect to {self.socket.url}"):
            if not self.socket.exists:  # the SDK would leave a socket open
                raise FileNotFoundError("No such file or directory")
            from docker.utils import kwargs_from_env

            tls = kwargs_from_env(environment=dict(self.environ)).get("tls") or False
            version = "auto" if self._greeting is None else self._greeting.get("Api-Version", "auto")
            api = docker.APIClient(self.socket.url, version=version, timeout=_LONG, tls=tls)
            weakref.finalize(self, api.close)
            return api

    @cached_property
    def asks(self) -> Any:
        """What answers the methods of `Questions`: those where the engine has a Unix socket, else the SDK's client."""
        return Questions(self.socket.url, _LONG) if self._has_unix_socket else self.api

    @property
    def _has_unix_socket(self) -> bool:
        return urlsplit(self.socket.url).scheme == "unix"

    @cached_property
    def _greeting(self) -> Message | None:
        """The headers of a ping at a Unix socket: Podman looks its own packages up before it says more of itself."""
        if not self._has_unix_socket:
            return None
        with self.talking(f"connect to {self.socket.url}"):
            return Questions(self.socket.url, _LONG).ping()

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What the engine says about its host."""
        with self.talking("ask about the host"):
            info: Mapping[str, Any] = self.asks.info()
        return info

    @cached_property
    def namespace(self) -> Namespace:
        """Whose images and containers are seen."""
        return Namespace.from_environ(self.environ)

    def lock(self, name: str, on_output: OnOutput) -> AbstractContextManager[int]:
        """Hold a lock of this engine's between processes; `name` begins with what is made under it."""
        waiting = f"---> another build makes the same {name.partition('-')[0]}: wait for that"
        home = Home.from_environ(self.environ)
        return home.lock(f"{self.socket.engine}-{name}", on_wait=lambda: on_output(waiting))

    @cached_property
    def is_podman(self) -> bool:
        """Whether it is Podman that answers, whatever the socket is called."""
        if self._greeting is not None:
            return "Libpod-Api-Version" in self._greeting
        with self.talking("ask for the version"):
            components = self.api.version().get("Components") or ()
        return any("Podman" in component.get("Name", "") for component in components)

    @property
    def is_rootless(self) -> bool:
        """Whether uid 0 of a container is the user who runs the engine."""
        return any("rootless" in option for option in self.info.get("SecurityOptions") or ())

    @property
    def is_local(self) -> bool:
        """Whether the engine sees this machine's folders, so that they can be mounted."""
        return urlsplit(self.socket.url).scheme in ("unix", "http+unix", "npipe")

    @property
    def loads_parts(self) -> bool:
        """Whether an image archive may leave out the layers that the engine has: not where containerd keeps images."""
        if self.is_podman:
            return True
        return not any("snapshotter" in str(value) for _, value in self.info.get("DriverStatus") or ())

    def list_images(self, label: str) -> list[Mapping[str, Any]]:
        """The images of the namespace that have a label, or a label of that value (`key=value`)."""
        return [item for item in self.list_all_images(label) if self.namespace.holds(item.get("Labels"))]

    def list_all_images(self, label: str) -> list[Mapping[str, Any]]:
        """The images of every namespace that have a label.

        Podman fails where another process removes an image at that moment: asked again, it knows better.
        """
        for _ in range(_TRIES):
            try:
                with self.talking("list the images"):
                    listed: list[Mapping[str, Any]] = self.asks.images(filters={"label": label})
                return listed
            except EngineError as error:
                if "image not known" not in error.message:
                    raise
                failed = error
        raise failed

    def list_containers(self, label: str) -> list[Mapping[str, Any]]:
        """The containers of the namespace that have a label, running or not."""
        with self.talking("list the containers"):
            listed: list[Mapping[str, Any]] = self.api.containers(all=True, filters={"label": label})
        return [item for item in listed if self.namespace.holds(item.get("Labels"))]

    @contextmanager
    def talking(self, action: str) -> Iterator[None]:
        """Turn the errors of the SDK and of the connection into EngineError; `action` says what was tried."""
        try:
            yield
        except ModelyardError:
            raise
        except Exception as error:
            raise self._translate(error, action) from error

    def _translate(self, error: Exception, action: str) -> Exception:
        if isinstance(error, RefusedError):
            return explain_api_error(error.explanation, action, status=error.status_code)
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        if isinstance(error, APIError):
            return explain_api_error(str(error.explanation or error), action, status=error.status_code)
        if isinstance(error, DockerException | RequestException | HTTPException | OSError):
            return EngineError(
                f"{self.socket.engine}: no answer from {self.socket.url}, trying to {action}: {_reason(error)}",
                hint=f"start it ({self.socket.start}), check that you may use its socket, or use --engine local",
            )
        return error


def open_client(engine: str | None, environ: Mapping[str, str]) -> Client:
    """Connect to an engine of images: the one that is named, else the first that is there; raise EngineError."""
    if engine in (None, "auto"):
        return Client(find_answering(environ) or require_socket("docker", environ), environ)
    if engine in ENGINES:
        return Client(require_socket(engine, environ), environ)
    raise EngineError(
        f"the engine {engine!r} has no images that s2i could build on", hint=f"engines: {', '.join(ENGINES)}"
    )


def is_missing(error: EngineError) -> bool:
    """Whether the engine refused since there is no such thing."""
    return getattr(error.__cause__, "status_code", None) == NOT_FOUND


def explain_api_error(said: str, action: str, *, status: int | None) -> ModelyardError:
    """Make the error of an engine's refusal: the kind by what it said, the hint by what helps."""
    message = f"the engine refused to {action}: {said.strip()}"
    if "no space left on device" in said:
        return EngineError(message, hint="free disk space: modelyard prune removes what no image uses")
    if any(words in said for words in ("port is already allocated", "address already in use")):
        return PortTakenError(message, hint="stop what uses the port, or publish another: PORT=<port>")
    if "is already in use by container" in said or "name is already in use" in said:
        return EngineError(message, hint="something else has a container of that name: remove it, or use --name")
    if any(words in said for words in ("could not select device driver", "unresolvable CDI", "nvidia")):
        return EngineError(
            message,
            hint="this host has no NVIDIA runtime: install the NVIDIA Container Toolkit, or build with VARIANT=cpu",
        )
    if status == 400 and "reference" in said:
        return InputError(message, hint="write name:tag in small letters, digits and '.', '_', '-', '/'")
    return EngineError(message)


def _reason(error: Exception) -> str:
    text = str(error)
    for words in (
        "No such file or directory",
        "Permission denied",
        "Connection refused",
        "Connection reset",
        "timed out",
    ):
        if words.lower() in text.lower():
            return words
    return text or type(error).__name__
