"""A real S3 server for tests: OpenStack Swift with its s3api middleware, as four small processes on this machine."""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.uv_environments import make_environment

SERVERS = ("account", "container", "object")
USER, PASSWORD = "test:tester", "testing"
_DEADLINE = 60.0

_COMMON = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {home}
devices = {home}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
"""
_STORAGE = """\
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
# ratelimit, quotas, cache and the like are left out: nothing here asks for them.
_PROXY = """\
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
check_bucket_owner = false
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


@dataclass(frozen=True)
class SwiftServer:
    """Where it answers, and how to get in."""

    endpoint: str
    access_key: str = USER
    secret_key: str = PASSWORD

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which the SDK finds it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextmanager
def run_swift_with_bucket(folder: Path, bucket: str) -> Iterator[SwiftServer]:
    """Install and run Swift below `folder` and make a bucket; skip the test where Swift can't run here."""
    import boto3

    try:
        os.setxattr(folder, "user.test", b"1")
    except OSError as error:
        pytest.skip(f"Swift needs extended attributes, which {folder} can't hold: {error}")
    python = make_environment(folder / "environment", ["swift>=2.33", "setuptools<81"])
    with run_swift(python.parent, folder / "swift") as server:
        keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
        client = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1", **keys)
        client.create_bucket(Bucket=bucket)
        yield server


@contextmanager
def run_swift(binaries: Path, home: Path) -> Iterator[SwiftServer]:
    """Run Swift, whose programs are in `binaries`, with everything it stores below `home`."""
    ports = {name: _free_port() for name in (*SERVERS, "proxy")}
    (home / "devices" / "d1").mkdir(parents=True)
    (home / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
    for name in SERVERS:
        _make_ring(binaries, home, name, ports[name])
    with ExitStack() as running:
        for name, port in ports.items():
            text = _COMMON.format(port=port, home=home, user=getpass.getuser())
            text += _PROXY if name == "proxy" else _STORAGE.format(name=name)
            config = home / f"{name}-server.conf"
            config.write_text(text)
            running.enter_context(_process(binaries / f"swift-{name}-server", config))
        for port in ports.values():
            _await_port(port, home)
        yield SwiftServer(f"http://127.0.0.1:{ports['proxy']}")


def _make_ring(binaries: Path, home: Path, name: str, port: int) -> None:
    builder = [str(binaries / "python"), str(binaries / "swift-ring-builder"), str(home / f"{name}.builder")]
    steps = (["create", "2", "1", "1"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance"])
    for step in steps:
        # 1 is its exit status for a warning, 2 for an error.
        done = subprocess.run([*builder, *step], capture_output=True, text=True, check=False, cwd=home)
        assert done.returncode < 2, done.stdout + done.stderr


@contextmanager
def _process(program: Path, config: Path) -> Iterator[None]:
    with config.with_suffix(".log").open("wb") as log:
        # By its interpreter: the first line of a script can't hold a long path.
        command = [str(program.parent / "python"), "-W", "ignore", str(program), str(config), "-v"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _await_port(port: int, home: Path) -> None:
    deadline = time.monotonic() + _DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in home.glob("*.log"))
            assert time.monotonic() < deadline, f"Swift does not answer on port {port}\n{logs}"
            time.sleep(0.1)
