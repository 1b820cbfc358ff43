"""`s2i create`: the skeleton of a builder image."""

from pathlib import Path

from modelyard.errors import InputError

_ASSEMBLE = """\
#!/bin/bash
# Makes the application of the source, which was uploaded to /tmp/src.
set -euo pipefail

if [ -d /tmp/artifacts ]; then
  echo "---> artifacts of the previous image"
fi
echo "---> copy the source"
cp -R /tmp/src/. "$HOME/"
"""
_RUN = """\
#!/bin/bash
# Starts the application. exec, so that it gets the signals.
set -euo pipefail

cd "$HOME"
exec ./main
"""
_SAVE_ARTIFACTS = """\
#!/bin/bash
# Streams what the next build can use again as a tar to stdout; everything else belongs on stderr.
set -euo pipefail

mkdir -p "$HOME/.cache"
exec tar -cf - -C "$HOME" .cache
"""
_USAGE = """\
#!/bin/bash
# Says how this builder image is used.
set -euo pipefail

exec cat <<'USAGE'
This is the builder image {name}. Use it with:
  modelyard s2i build <source> {name} <application image>
USAGE
"""
_DOCKERFILE = """\
# {name}: a builder image. docker build -t {name} .
FROM docker.io/library/debian:stable-slim

# What builds and runs the application:
# RUN apt-get update && apt-get install -y --no-install-recommends ... && rm -rf /var/lib/apt/lists/*

LABEL io.k8s.display-name="{name}" \\
      io.k8s.description="What {name} makes of a source" \\
      io.openshift.tags="builder,{name}" \\
      io.openshift.s2i.scripts-url="image:///usr/libexec/s2i"
COPY s2i/bin/ /usr/libexec/s2i
ENV HOME=/opt/app
RUN mkdir -p "$HOME" && chown 1001:0 "$HOME" && chmod g=u "$HOME"
WORKDIR /opt/app
USER 1001
CMD ["/usr/libexec/s2i/usage"]
"""
_TEST = """\
#!/bin/bash
# Builds test/test-app with the builder image and runs it: IMAGE_NAME={name} test/run
set -euo pipefail

here="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
image="${{IMAGE_NAME:?is not set: the builder image}}"
modelyard s2i build --copy "$here/test-app" "$image" "$image-test" --run
"""
_MAKEFILE = """\
IMAGE_NAME = {name}

.PHONY: build test
build:
\tdocker build -t $(IMAGE_NAME) .
test: build
\tIMAGE_NAME=$(IMAGE_NAME) test/run
"""
_APPLICATION = """\
#!/bin/bash
echo "it works"
"""
_README = """\
# {name}

A builder image. `make build` builds it, `make test` builds the application in `test/test-app` with it and runs that.

- `s2i/bin/assemble` makes the application of the source, `s2i/bin/run` starts it;
- `s2i/bin/save-artifacts` streams what the next build can use again, `s2i/bin/usage` says how to use the image.
"""
EXECUTABLE = (
    "s2i/bin/assemble",
    "s2i/bin/run",
    "s2i/bin/save-artifacts",
    "s2i/bin/usage",
    "test/run",
    "test/test-app/main",
)


def create_builder(name: str, folder: Path) -> list[Path]:
    """Write the skeleton of the builder image `name` into an empty or new folder; return the files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is not empty", hint="name a new folder")
    texts = {
        "Dockerfile": _DOCKERFILE,
        "Makefile": _MAKEFILE,
        "README.md": _README,
        "s2i/bin/assemble": _ASSEMBLE,
        "s2i/bin/run": _RUN,
        "s2i/bin/save-artifacts": _SAVE_ARTIFACTS,
        "s2i/bin/usage": _USAGE,
        "test/run": _TEST,
        "test/test-app/main": _APPLICATION,
    }
    filled = {_USAGE, _DOCKERFILE, _TEST, _MAKEFILE, _README}
    for path, text in texts.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.format(name=name) if text in filled else text, encoding="utf-8")
        place.chmod(0o755 if path in EXECUTABLE else 0o644)
    return [folder / path for path in texts]
