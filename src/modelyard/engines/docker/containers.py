"""Containers of application images: run in the foreground, served in the background, found by their labels."""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from modelyard.engines.delegation import choose_grace, pick_container
from modelyard.engines.docker.client import Client, is_missing
from modelyard.engines.docker.images import DockerImages, parse_time
from modelyard.engines.docker.workshop import lines_of, remove_container
from modelyard.engines.ports import claim_port
from modelyard.engines.protocols import Container, ContainerSpec, Image, Mount, OnOutput
from modelyard.errors import EngineError, InputError
from modelyard.workspace import as_container_name

CONTAINER_LABEL = "io.modelyard.container"
SHM_SIZE = "MODELYARD_SHM_SIZE"
PORT = "5000/tcp"
_STOP_GRACE = 5


@dataclass(frozen=True)
class DockerContainers:
    """What an engine runs of application images."""

    client: Client
    shared_memory: str | None = None
    """What /dev/shm may hold; None for what the engine gives."""

    def run(self, spec: ContainerSpec, *, on_output: OnOutput) -> int:
        """Run in the foreground and remove the container."""
        return _run_to_the_end(self.client, self._create(self._claim_port(spec)), on_output)

    def start(self, spec: ContainerSpec) -> Container:
        """Start in the background."""
        spec = self._claim_port(spec)
        container = self._create(spec)
        where = f" on {spec.published.host}:{spec.published.port}" if spec.published else ""
        try:
            with self.client.talking(f"start the container{where}"):
                self.client.api.start(container)
        except BaseException:
            remove_container(self.client, container)
            raise
        return self.find(container)

    def check_port(self, host: str, port: int, *, leaving: str | None = None) -> int:
        """The port to publish, a free one for 0 where the engine is on this machine."""
        return claim_port(host, port, self.all(), leaving=leaving, is_local=self.client.is_local)

    def _claim_port(self, spec: ContainerSpec) -> ContainerSpec:
        if spec.published is None:
            return spec
        port = self.check_port(spec.published.host, spec.published.port)
        return replace(spec, published=replace(spec.published, port=port))

    def all(self) -> tuple[Container, ...]:
        """Every container, newest first."""
        listed = self.client.list_containers(CONTAINER_LABEL)
        found = [item for item in (self._inspect(entry["Id"]) for entry in listed) if item is not None]
        return tuple(sorted(found, key=lambda item: item.created, reverse=True))

    def find(self, name: str) -> Container:
        """The container of a name, an id, or the start of an id."""
        return pick_container(self.all(), name)

    def logs(self, name: str, *, follow: bool) -> Iterator[str]:
        """The lines it wrote; with `follow` until it ends."""
        container = self.find(name)
        with (
            self.client.talking(f"read the log of {name}"),
            lines_of(self.client.api.logs(container.id, stream=True, follow=follow)) as lines,
        ):
            yield from lines

    def stop(self, name: str, *, grace: float | None) -> Container:
        """SIGTERM to the main process; after `grace` seconds SIGKILL."""
        container = self.find(name)
        with self.client.talking(f"stop {name}"):
            if grace is None:
                lines = self.client.api.inspect_container(container.id)["Config"].get("Env") or ()
                grace = choose_grace(dict(line.partition("=")[::2] for line in lines))
            self.client.api.stop(container.id, timeout=max(1, round(grace)))
        return self.find(container.id)

    def _create(self, spec: ContainerSpec) -> str:
        image = DockerImages(self.client).find(spec.image)
        prefix = as_container_name(image.name)
        name = spec.name or (prefix if spec.published else f"{prefix}-{secrets.token_hex(3)}")
        self._free_name(name)
        try:
            return self._create_named(name, image, spec, init=True)
        except EngineError as error:
            if "container-init" not in error.message:
                raise
            return self._create_named(name, image, spec, init=False)

    def _create_named(self, name: str, image: Image, spec: ContainerSpec, *, init: bool) -> str:
        """Create it; `init` puts a process before the main one, which signals would not end if it were the first.

        Podman has none on some machines.
        """
        root = image.environment.get("APP_ROOT", "")
        published = spec.published
        listens = {"HOST": "0.0.0.0", "PORT": PORT.removesuffix("/tcp")} if published else {}
        options: dict[str, Any] = (
            {"device_requests": _all_gpus()} if image.labels.get("io.modelyard.variant") == "cuda" else {}
        )
        with self.client.talking(f"create the container {name}"):
            api = self.client.api
            host_config = api.create_host_config(
                binds=[_bind(mount, root) for mount in spec.mounts],
                port_bindings={PORT: (published.host, published.port)} if published else {},
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                init=init,
                shm_size=self.shared_memory,
                **options,
            )
            return str(
                api.create_container(
                    image.id,
                    name=self.client.namespace.container(name),
                    environment={**listens, **spec.environment},
                    ports=["5000"] if published else [],
                    user=self._user(spec.mounts),
                    host_config=host_config,
                    labels={**self.client.namespace.labels, CONTAINER_LABEL: name},
                    use_config_proxy=False,
                )["Id"]
            )

    def _user(self, mounts: Sequence[Mount]) -> str | None:
        """Who runs it: the image's own user; with folders mounted, the caller, who may write what they may write."""
        if not mounts:
            return None
        return "0:0" if self.client.is_rootless else f"{os.geteuid()}:0"

    def _free_name(self, name: str) -> None:
        other = next((item for item in self.all() if item.name == name), None)
        if other is None:
            return
        if other.status == "running":
            published = f" at {other.host}:{other.port}" if other.port else ""
            raise EngineError(f"a container {name} runs already{published}", hint=f"modelyard stop {name}")
        remove_container(self.client, other.id)

    def _inspect(self, id: str) -> Container | None:
        try:
            with self.client.talking(f"look at the container {id[:12]}"):
                found = self.client.api.inspect_container(id)
        except EngineError as error:
            if is_missing(error):
                return None
            raise
        return as_container(found)


def run_image(client: Client, image: str, on_output: OnOutput) -> int:
    """Run any image in the foreground, as it is, remove the container and return its exit code."""
    with client.talking(f"create a container of {image}"):
        container = str(client.api.create_container(image, use_config_proxy=False)["Id"])
    return _run_to_the_end(client, container, on_output)


def _run_to_the_end(client: Client, container: str, on_output: OnOutput) -> int:
    """Start a container, pass its output on, remove it and return its exit code; an interrupt stops it first."""
    try:
        with client.talking("run the container"):
            with lines_of(client.api.attach(container, stream=True, logs=True)) as lines:
                client.api.start(container)
                for line in lines:
                    on_output(line)
            code = client.api.wait(container)["StatusCode"]
    except BaseException:
        with suppress(Exception):
            client.api.stop(container, timeout=_STOP_GRACE)
        raise
    finally:
        remove_container(client, container)
    return int(code)


def as_container(found: Mapping[str, Any]) -> Container:
    """An engine's own description of a container, in this tool's words."""
    state = found["State"]
    runs = state["Status"] in ("running", "paused", "restarting", "stopping", "removing") and bool(
        state.get("Running", True)
    )
    bindings = (found["HostConfig"].get("PortBindings") or {}).get(PORT) or [{}]
    port = bindings[0].get("HostPort")
    return Container(
        id=found["Id"],
        name=found["Config"]["Labels"][CONTAINER_LABEL],
        image=found["Image"].removeprefix("sha256:"),
        status="running" if runs else "exited",
        exit_code=None if runs else state.get("ExitCode"),
        host=(bindings[0].get("HostIp") or "0.0.0.0") if port else None,
        port=int(port) if port else None,
        pid=state.get("Pid") or None,
        created=parse_time(found["Created"]),
    )


def _bind(mount: Mount, root: str) -> str:
    if not mount.source.exists():
        raise InputError(f"{mount.source}: no such folder to mount as {mount.target}", hint="make it first")
    return f"{mount.source.absolute()}:{root}/{mount.target}:{'ro' if mount.read_only else 'rw'}"


def _all_gpus() -> list[Any]:
    from docker.types import DeviceRequest

    return [DeviceRequest(count=-1, capabilities=[["gpu"]])]
