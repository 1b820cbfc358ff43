"""A builder image as upstream's `s2i create` lays one out: its own test/run calls `s2i`, which is our command here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_files

pytestmark = pytest.mark.integration

# What upstream's templates leave to be filled in is filled in: a base image, a server.
DOCKERFILE = """\
FROM {base}
COPY ./s2i/bin/ /usr/libexec/s2i
LABEL io.openshift.s2i.scripts-url=image:///usr/libexec/s2i
RUN mkdir -p /opt/app-root/src && chown -R 1001:0 /opt/app-root
WORKDIR /opt/app-root/src
USER 1001
EXPOSE 8080
CMD ["/usr/libexec/s2i/usage"]
"""
ASSEMBLE = """\
#!/bin/bash -e
if [[ "$1" == "-h" ]]; then exec /usr/libexec/s2i/usage; fi
if [ "$(ls /tmp/artifacts/ 2>/dev/null)" ]; then
  echo "---> Restoring build artifacts..."
  shopt -s dotglob
  mv /tmp/artifacts/* ./
  shopt -u dotglob
fi
echo "---> Installing application source..."
cp -Rf /tmp/src/. ./
"""
RUN = "#!/bin/bash -e\nexec python3 -m http.server 8080\n"
USAGE = "#!/bin/bash -e\ncat <<EOF\nThis is the builder image\nEOF\n"
# As upstream writes it: it saves nothing until its author adds a tar.
SAVE_ARTIFACTS = "#!/bin/sh -e\n# tar cf - <list of files and folders>\n"
TEST_RUN = """\
#!/bin/bash
IMAGE_NAME=${IMAGE_NAME-skeleton-candidate}
test_dir="$(readlink -zf "$(dirname "${BASH_SOURCE[0]}")" | tr -d '\\0')"
cid_file=$(mktemp -u --suffix=.cid)
s2i_args="--pull-policy=never --loglevel=2"
test_port=8080

run_s2i_build() {
  s2i build --incremental=true ${s2i_args} SCHEME${test_dir}/test-app ${IMAGE_NAME} ${IMAGE_NAME}-testapp
}
address() {
  docker inspect --format="{{(index .NetworkSettings.Ports \\"$test_port/tcp\\" 0).HostPort}}" $(cat $cid_file)
}
cleanup() {
  [ -f $cid_file ] && docker stop --time 1 $(cat $cid_file)
  docker inspect ${IMAGE_NAME}-testapp &>/dev/null && docker rmi ${IMAGE_NAME}-testapp
}
check_result() {
  if [[ "$1" != "0" ]]; then
    echo "S2I image '${IMAGE_NAME}' test FAILED (exit code: $1)"
    cleanup
    exit $1
  fi
}

pushd ${test_dir}/test-app >/dev/null
git init
git config user.email "build@localhost" && git config user.name "builder"
git add -A && git commit -m "Sample commit"
popd >/dev/null
run_s2i_build
check_result $?
# Twice, for save-artifacts.
run_s2i_build
check_result $?
s2i usage ${s2i_args} ${IMAGE_NAME} &>/dev/null
check_result $?

docker run --rm --cidfile=${cid_file} -p 127.0.0.1::${test_port} ${IMAGE_NAME}-testapp &
for attempt in $(seq 50); do [ -f $cid_file ] && curl -sf http://127.0.0.1:$(address)/ && break; sleep 0.2; done
[ "$(curl -s -w %{http_code} -o /dev/null http://127.0.0.1:$(address)/)" = 200 ]
check_result $?
cleanup
"""


@pytest.fixture
def environ(image_engines, tmp_path: Path) -> dict[str, str]:
    """An environment in which `s2i` is ours and `docker` talks to the engine that it uses."""
    variables = {**os.environ, **image_engines("docker"), "MODELYARD_ENGINE": "docker"}
    if not shutil.which("docker") or not shutil.which("curl"):
        pytest.skip("upstream's test/run calls docker and curl")
    write_files(tmp_path / "bin", {"s2i": f'#!/bin/sh\nexec {sys.executable} -m modelyard s2i "$@"\n'})
    (tmp_path / "bin" / "s2i").chmod(0o755)
    return {**variables, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{variables['PATH']}", "DOCKER_BUILDKIT": "0"}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_its_own_test_passes_with_our_s2i(environ, tmp_path, scheme):
    folder = tmp_path / "skeleton"
    scripts = {"assemble": ASSEMBLE, "run": RUN, "usage": USAGE, "save-artifacts": SAVE_ARTIFACTS}
    write_files(
        folder,
        {
            "Dockerfile": DOCKERFILE.format(base=environ["MODELYARD_BASE_IMAGE"]),
            "test/run": TEST_RUN.replace("SCHEME", scheme),
            "test/test-app/index.html": "<h1>Hello World!</h1>\n",
            **{f"s2i/bin/{name}": text for name, text in scripts.items()},
        },
    )
    for name in (*(f"s2i/bin/{name}" for name in scripts), "test/run"):
        (folder / name).chmod(0o755)
    image = f"s2i-skeleton-{os.getpid()}"
    build = ["docker", "build", "--quiet", "--tag", image, str(folder)]
    subprocess.run(build, check=True, env=environ, capture_output=True, text=True)
    try:
        test = [folder / "test" / "run"]
        done = subprocess.run(test, env={**environ, "IMAGE_NAME": image}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert "FAILED" not in done.stdout
        assert "Hello World!" in done.stdout
    finally:
        subprocess.run(["docker", "rmi", "--force", image, f"{image}-testapp"], env=environ, capture_output=True)
