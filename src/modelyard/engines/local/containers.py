"""Containers of the embedded engine: a folder with a copy of the image's application, a log, and a process group."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from modelyard.engines.delegation import choose_grace, pick_container
from modelyard.engines.local import monitor
from modelyard.engines.local.images import LocalImages
from modelyard.engines.ports import claim_port
from modelyard.engines.protocols import Container, ContainerSpec, Image, Mount, OnOutput, PublishedPort
from modelyard.errors import EngineError, InputError
from modelyard.machine.home import Home, read_record, remove_tree, write_record
from modelyard.machine.process import inherit, signal_group
from modelyard.machine.processes import is_running, start_time
from modelyard.network import CERTIFICATES, PROXIES
from modelyard.workspace import as_container_name

RECORD = "container.json"
_POLL = 0.02
_SOCKET_ROOM = 75  # what a Unix socket's path (108 bytes on Linux, 104 on macOS) may have before its own name


@dataclass(frozen=True)
class LocalContainers:
    """Runs below a home; `environ` is the user's environment."""

    home: Home
    environ: Mapping[str, str]

    def run(self, spec: ContainerSpec, *, on_output: OnOutput) -> int:
        """Run in the foreground and remove the container."""
        container = self.start(spec)
        try:
            for line in self.logs(container.id, follow=True):
                on_output(line)
            ended = self.find(container.id)
        except BaseException:
            self.stop(container.id, grace=5.0)
            raise
        finally:
            remove_tree(self.home.containers / container.id)
        if ended.exit_code is None:
            raise EngineError(f"container {container.name} is gone, and its exit code with it", hint="run it again")
        return ended.exit_code

    def check_port(self, host: str, port: int, *, leaving: str | None = None) -> int:
        """The port to publish, a free one for 0."""
        return claim_port(host, port, self.all(), leaving=leaving)

    def all(self) -> tuple[Container, ...]:
        """Every container, newest first."""
        found = [self._read(path.parent) for path in self.home.containers.glob(f"[!.]*/{RECORD}")]
        return tuple(sorted((item for item in found if item), key=lambda item: item.created, reverse=True))

    def find(self, name: str) -> Container:
        """The container of a name, an id, or the start of an id."""
        return pick_container(self.all(), name)

    def logs(self, name: str, *, follow: bool) -> Iterator[str]:
        """The lines it wrote; with `follow` until it ends."""
        container = self.find(name)
        folder = self.home.containers / container.id
        with (folder / "log").open(encoding="utf-8", errors="replace", newline="\n") as log:
            pending = ""
            while True:
                # Asked before reading: what was written before the end is then never missed.
                goes_on = follow and self._status(folder)[0]
                for chunk in iter(log.readline, ""):
                    pending += chunk
                    if pending.endswith("\n"):
                        yield pending.removesuffix("\n")
                        pending = ""
                if not goes_on:
                    break
                time.sleep(_POLL)
            if pending:
                yield pending

    def stop(self, name: str, *, grace: float | None) -> Container:
        """SIGTERM to the main process; after `grace` seconds SIGKILL to its whole group."""
        container = self.find(name)
        folder = self.home.containers / container.id
        if grace is None:
            grace = float((read_record(folder / RECORD) or {}).get("grace") or choose_grace({}))
        if container.status == "running" and container.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(container.pid, signal.SIGTERM)
            if not self._wait(folder, grace):
                signal_group(container.pid, signal.SIGKILL)
                self._wait(folder, 5.0)
        shutil.rmtree(folder / "app", ignore_errors=True)
        return self.find(container.id)

    def refresh(self, name: str, reference: str) -> bool:
        """Replace the files of the application that differ, and have the daemon load its models again."""
        container = self.find(name)
        new, old = (self.home.images / id for id in (LocalImages(self.home).find(reference).id, container.image))
        if container.pid is None or container.status != "running" or _describe_base(new) != _describe_base(old):
            return False
        update_tree(new / "app", self.home.containers / container.id / "app")
        os.kill(container.pid, signal.SIGHUP)
        return True

    def remove(self, container: Container) -> None:
        """Remove what is left of an ended container."""
        remove_tree(self.home.containers / container.id)

    def start(self, spec: ContainerSpec) -> Container:
        """Start in the background."""
        with self.home.lock("store", shared=True), self.home.lock("containers"):
            image = LocalImages(self.home).find(spec.image)
            id = secrets.token_hex(6)
            name = spec.name or (
                as_container_name(image.name) if spec.published else f"{as_container_name(image.name)}-{id[:6]}"
            )
            self._free_name(name)
            published = self._claim_port(spec.published)
            folder = self.home.containers / id
            try:
                self._make_folder(folder, image, spec.mounts)
                record = {
                    "schema": 1,
                    "name": name,
                    "image": image.id,
                    "host": published.host if published else None,
                    "port": published.port if published else None,
                    "created": datetime.now(UTC).isoformat(),
                }
                variables = self._variables(id, image, spec.environment, published)
                self._launch(folder, image, variables)
                pid, watcher = read_pids(folder)
                processes = {"pid": pid, "started": start_time(pid), "monitor": [watcher, start_time(watcher)]}
                write_record(folder / RECORD, {**record, **processes, "grace": choose_grace(variables)})
            except BaseException:
                self._abandon(folder)
                raise
        return self.find(id)

    def _claim_port(self, published: PublishedPort | None) -> PublishedPort | None:
        if published is None:
            return None
        return replace(published, port=self.check_port(published.host, published.port))

    def _make_folder(self, folder: Path, image: Image, mounts: Sequence[Mount]) -> None:
        source = self.home.images / image.id / "app"
        folder.mkdir(parents=True)
        (folder / "log").touch()
        (folder / "run").mkdir(mode=0o700)
        shutil.copytree(source, folder / "app", symlinks=True)
        for mount in mounts:
            if not mount.source.exists():
                raise InputError(f"{mount.source}: no such folder to mount as {mount.target}", hint="make it first")
            target = folder / "app" / mount.target
            if target.is_dir():
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(mount.source.absolute())

    def _variables(
        self, id: str, image: Image, environment: Mapping[str, str], published: PublishedPort | None
    ) -> dict[str, str]:
        folder = self.home.containers / id
        base = self.home.images / image.id
        network = {key: self.environ[key] for key in (*PROXIES, *CERTIFICATES) if key in self.environ}
        listens = {"HOST": published.host, "PORT": str(published.port)} if published else {}
        sockets = folder / "run"
        places = {"MODELYARD_RUN_DIR": str(sockets)} if len(str(sockets)) <= _SOCKET_ROOM else {}
        return {
            **inherit(self.environ),
            **network,
            **image.environment,
            **listens,
            "MODELYARD_RUN_ID": id,
            **environment,
            **places,
            "APP_ROOT": str(folder / "app"),
            "MODELYARD_LIB": str(base / "lib"),
            "MODELYARD_ENVIRONMENTS": str(base / "environments"),
        }

    def _launch(self, folder: Path, image: Image, variables: Mapping[str, str]) -> None:
        script = self.home.images / image.id / "s2i" / "run"
        command = [sys.executable, "-I", "-S", monitor.__file__, str(folder), "bash", str(script)]
        started = subprocess.run(command, env=variables, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if started.returncode:
            raise EngineError(f"{script} could not be started: {started.stderr.strip()}", hint="is bash installed?")

    def _abandon(self, folder: Path) -> None:
        if (folder / "pid").exists():
            signal_group(read_pids(folder)[0], signal.SIGKILL)
        remove_tree(folder)

    def _free_name(self, name: str) -> None:
        for other in self.all():
            if other.name == name and other.status == "running":
                published = f" at {other.host}:{other.port}" if other.port else ""
                raise EngineError(f"a container {name} runs already{published}", hint=f"modelyard stop {name}")
            if other.name == name:
                self.remove(other)

    def _wait(self, folder: Path, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._status(folder)[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def _status(self, folder: Path) -> tuple[bool, int | None]:
        """Whether it runs, and its exit code where it was seen to end."""
        record = read_record(folder / RECORD) or {}
        # The monitor counts as well: it lives until it has written the exit code of a process that is gone.
        processes = [(record["pid"], record["started"]), record["monitor"]] if record else []
        alive = any(is_running(pid, started) for pid, started in processes)
        try:
            return False, int((folder / "exit_code").read_text())
        except FileNotFoundError:
            return alive, None

    def _read(self, folder: Path) -> Container | None:
        record = read_record(folder / RECORD)
        if record is None:
            return None
        running, exit_code = self._status(folder)
        return Container(
            id=folder.name,
            name=record["name"],
            image=record["image"],
            status="running" if running else "exited",
            exit_code=exit_code,
            host=record["host"],
            port=record["port"],
            pid=record["pid"] if running else None,
            created=datetime.fromisoformat(record["created"]),
        )


def read_pids(folder: Path) -> tuple[int, int]:
    """The main process of a container and its monitor."""
    pid, watcher = (folder / "pid").read_text().split()
    return int(pid), int(watcher)


def update_tree(source: Path, target: Path) -> None:
    """Make the files of `target` those of `source`, each in one step; what is mounted into it stays."""
    for path in sorted(source.rglob("*")):
        mine = target / path.relative_to(source)
        if _is_mounted(mine, target):
            continue
        if path.is_dir():
            mine.mkdir(exist_ok=True)
        elif not mine.exists() or mine.read_bytes() != path.read_bytes():
            scratch = mine.with_name(f".{mine.name}.part")
            shutil.copy2(path, scratch)
            scratch.replace(mine)
    for path in sorted(target.rglob("*"), reverse=True):
        if not (source / path.relative_to(target)).exists() and path.is_file() and not _is_mounted(path, target):
            path.unlink()  # compiled modules as well: Python tells them by whole seconds


def _is_mounted(path: Path, root: Path) -> bool:
    return any((root / parent).is_symlink() for parent in path.relative_to(root).parents)


def _describe_base(image: Path) -> tuple[object, ...]:
    """What an image consists of beside its source: its environments, and its variables."""
    record = read_record(image / "image.json") or {}
    links = sorted((path.name, str(path.readlink())) for path in (image / "environments").iterdir())
    variables = {**record.get("environment", {}), "MODELYARD_SOURCE_DIGEST": None}
    return (links, variables, record.get("lib"))
