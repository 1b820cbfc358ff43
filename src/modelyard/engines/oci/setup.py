"""A setup.sh where nothing can be run: what it would install may be in the base image already; else it is refused."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from modelyard.context.build_context import BuildContext
from modelyard.engines.oci.bases import Base
from modelyard.errors import BuildError
from modelyard.machine.output import OnOutput

SKIP = "MODELYARD_SKIP_SETUP"
_STATUS = "/var/lib/dpkg/status"
_NOTHING = re.compile(
    r"set [-+]\S.*|export DEBIAN_FRONTEND=\w+|true|:|apt-get( -\S+)* (update|clean|autoclean|autoremove)( -\S+)*"
    r"|apt( -\S+)* update( -\S+)*|rm -rf? /var/lib/apt/lists(/\*)?/?|exit 0|echo .*"
)
_PACKAGE = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(?::[a-z0-9]+)?(?:=(?P<version>\S+))?")


def check_setup(context: BuildContext, base: Base, environ: Mapping[str, str], on_output: OnOutput) -> None:
    """Raise BuildError for a setup.sh, unless the base image has what it installs or the user said to leave it out."""
    script = context.source / "setup.sh"
    if not script.is_file():
        return
    name = PurePosixPath(context.about.requirements).parent / "setup.sh"
    if environ.get(SKIP):
        on_output(f"---> setup: {name} is left out, as {SKIP} says")
        return
    packages = find_packages(script.read_text(encoding="utf-8", errors="replace"))
    if packages is None:
        raise BuildError(
            f"{name}: it has to be run, and the engine oci runs nothing",
            hint="build with an engine (ENGINE=docker), or name a base image that has what it installs "
            f"(MODELYARD_BASE_IMAGE) and leave it out ({SKIP}=1)",
        )
    missing = [each for each in packages if not _is_installed(each, _read_status(base))]
    if missing:
        raise BuildError(
            f"{name}: it has to be run, and the engine oci runs nothing. It only installs Debian packages, and "
            f"{base.reference} lacks {' '.join(missing)}",
            hint=f'a base image that has them will do: make base-image ENGINE=oci PACKAGES="{" ".join(packages)}" '
            "(in a Dockerfile of yours: RUN apt-get update && apt-get install --yes "
            f"{' '.join(packages)}); or build with an engine (ENGINE=docker)",
        )
    what = " ".join(packages) or "nothing"
    on_output(f"---> setup: {base.reference} has {what}, which is all that {name} installs")


def find_packages(script: str) -> list[str] | None:
    """The Debian packages that a script installs, where it does nothing else; None where it does.

    >>> find_packages("set -eu\\napt-get update && apt-get install -y --no-install-recommends libgomp1 git\\n")
    ['libgomp1', 'git']
    >>> find_packages("curl https://example.org | sh") is None
    True
    """
    packages: list[str] = []
    for command in _split_commands(script):
        words = command.split()
        while words and (words[0] == "sudo" or re.fullmatch(r"DEBIAN_FRONTEND=\w+", words[0])):
            words = words[1:]
        if not words or _NOTHING.fullmatch(" ".join(words)):
            continue
        asked = _read_install(words)
        if asked is None:
            return None
        packages += asked
    return packages


def _split_commands(script: str) -> Iterator[str]:
    """The commands of a script, one by one; what is quoted is not looked into, and installs nothing that is known."""
    for line in script.replace("\\\n", " ").splitlines():
        if not line.lstrip().startswith("#"):
            yield from (part.strip() for part in re.split(r"&&|;", re.sub(r"(?<=\s)#.*", "", line)))


def _read_install(words: list[str]) -> list[str] | None:
    if words[0] not in ("apt-get", "apt") or "install" not in words:
        return None
    place = words.index("install")
    options = [word for word in words[1:place] if not word.startswith("-")]
    asked = [word for word in words[place + 1 :] if not word.startswith("-")]
    return asked if not options and all(map(_PACKAGE.fullmatch, asked)) else None


def _read_status(base: Base) -> dict[str, str]:
    """The Debian packages of an image by name, each with its version.

    https://manpages.debian.org/bookworm/dpkg/dpkg.1.en.html#var/lib/dpkg/status
    """
    found = base.tree.find(_STATUS)
    text = base.read(found).decode(errors="replace") if found else ""
    installed = {}
    for paragraph in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in paragraph.splitlines() if not line.startswith(" "))
        if fields.get("Status", "").endswith(" ok installed"):
            installed[fields.get("Package", "")] = fields.get("Version", "")
    return installed


def _is_installed(package: str, installed: Mapping[str, str]) -> bool:
    match = _PACKAGE.fullmatch(package)
    if match is None or match["name"] not in installed:
        return False
    return match["version"] in (None, installed[match["name"]])
