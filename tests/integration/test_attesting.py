"""Bills and provenance beside images in a real registry, and images signed by the program for that."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.cutting_proxy import run_cutting_proxy
from tests.integration.referring_proxy import run_referring_proxy
from tests.integration.registries import running_registry

pytest.importorskip("cyclonedx", reason="NOT TESTED: pip install 'modelyard[sbom]'")
METADATA = "Metadata-Version: 2.1\nName: six\nVersion: 1.17.0\n\n"
DOCKERFILE = "FROM scratch\nCOPY . /usr/lib/python3/dist-packages/\nLABEL io.modelyard.name=tiny\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "six-1.17.0.dist-info").mkdir(parents=True)
    (folder / "six-1.17.0.dist-info" / "METADATA").write_text(METADATA)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "MODELYARD_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker")}


def modelyard(environ: dict[str, str], *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "modelyard", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize("registry", ["of yesterday", "of today"])
def test_a_pushed_image_has_its_bills_beside_it(registry, host, context, environ):
    with ExitStack() as stack:
        where = host if registry == "of yesterday" else stack.enter_context(run_referring_proxy(host))
        target = f"{where}/bills/{registry.rpartition(' ')[2]}:v1"
        built = modelyard(environ, "image", "build", str(context), "tiny", "--push", target)
        digest = built.stdout.strip().rpartition("@")[2]
        for format, word in {"cyclonedx": "bomFormat", "spdx": "spdxVersion", "provenance": "predicateType"}.items():
            printed = json.loads(modelyard(environ, "sbom", target, "--format", format).stdout)
            assert word in printed
            assert "pkg:pypi/six@1.17.0" in json.dumps(printed)
        assert printed["subject"][0]["digest"] == {"sha256": digest.removeprefix("sha256:")}
        tags = modelyard(environ, "tags", target).stdout.split()
        assert tags == (["v1"] if registry == "of today" else [digest.replace(":", "-"), "v1"])


def test_what_is_there_is_not_sent_again(host, context, environ):
    with run_cutting_proxy(int(host.rpartition(":")[2])) as proxy:
        target = f"localhost:{proxy.listener.getsockname()[1]}/bills/again:v1"
        first = modelyard(environ, "image", "build", str(context), "tiny", "--push", target)
        before = proxy.sent
        again = modelyard(environ, "image", "build", str(context), "tiny", "--push", target)
        assert again.stdout == first.stdout
        assert proxy.sent - before < 1500, "two questions, and one whether it speaks TLS"


def test_each_image_of_an_index_has_its_own(host, context, environ):
    target = f"{host}/bills/index:v1"
    words = ["--platform", "linux/amd64,linux/arm64", "--push", target]
    modelyard(environ, "image", "build", str(context), "tiny", *words)
    subjects = set()
    for platform in ("linux/amd64", "linux/arm64"):
        printed = json.loads(
            modelyard(environ, "sbom", target, "--platform", platform, "--format", "provenance").stdout
        )
        assert printed["predicate"]["buildDefinition"]["externalParameters"] == {"name": "tiny", "platform": platform}
        subjects.add(printed["subject"][0]["digest"]["sha256"])
    assert len(subjects) == 2


def test_the_bill_of_an_image_that_is_in_no_registry_is_made_of_its_files(context, environ):
    place = f"oci:{context.parent / 'out'}:v1"
    modelyard(environ, "image", "build", str(context), "tiny", "-o", place)
    for name in ("tiny", place):
        printed = json.loads(modelyard(environ, "sbom", name).stdout)
        assert [each["purl"] for each in printed["components"]] == ["pkg:pypi/six@1.17.0"]


def test_cosign_signs_what_was_pushed_by_its_digest(host, context, environ, tmp_path):
    """The program itself is on no package index that tests may count on: this one notes how it is called."""
    target = f"{host}/bills/signed:v1"
    words = ("image", "build", str(context), "tiny", "--push", target, "--sign", "my.key")
    without = {**environ, "PATH": str(tmp_path / "nothing")}
    refused = modelyard(without, *words, code=7)
    assert "cosign, which signs images, is not installed" in refused.stderr
    assert "pushing" not in refused.stdout + refused.stderr
    cosign = tmp_path / "bin" / "cosign"
    cosign.parent.mkdir()
    cosign.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n[ ! -e {tmp_path}/fails ]\n')
    cosign.chmod(0o755)
    environ = {**environ, "PATH": f"{cosign.parent}{os.pathsep}{os.environ['PATH']}"}
    digest = modelyard(environ, *words).stdout.strip().rpartition("@")[2]
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["sign", "--yes", "--key", "my.key", "--allow-http-registry", "--allow-insecure-registry",
                     f"{target}@{digest}"]  # fmt: skip
    (tmp_path / "fails").touch()
    assert "the image is pushed, and not signed" in modelyard(environ, *words, code=7).stderr
