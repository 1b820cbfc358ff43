"""The packages in an image's files: of Python by their METADATA, of Debian and Alpine by their databases."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import Literal

from modelyard.images.tree import Found, Tree
from modelyard.runtime.assembling.installation import normalise

_METADATA = re.compile(r"/(?:site|dist)-packages/[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO)$")
_DPKG = re.compile(r"/var/lib/dpkg/(?:status|status\.d/[^/]+(?<!\.md5sums))$")
_APK = "/lib/apk/db/installed"

ReadAll = Callable[[Sequence[Found]], Mapping[str, bytes]]
"""The contents of files, by their path."""


@dataclass(frozen=True, kw_only=True, order=True)
class Package:
    """A package that is installed in an image."""

    kind: Literal["pypi", "deb", "apk"]
    name: str
    version: str
    place: str = ""
    """The folder that a package of Python is in."""
    architecture: str = ""
    license: str = ""

    @property
    def purl(self) -> str:
        """Its package URL: https://github.com/package-url/purl-spec

        >>> Package(kind="deb", name="libc6", version="2.36-9+deb12u9", architecture="amd64").purl
        'pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64'
        """
        space = {"deb": "debian/", "apk": "alpine/", "pypi": ""}[self.kind]
        suffix = f"?arch={self.architecture}" if self.architecture else ""
        return f"pkg:{self.kind}/{space}{self.name}@{self.version.replace('+', '%2B')}{suffix}"


def read_packages(tree: Tree, read: ReadAll) -> list[Package]:
    """All packages of an image, sorted."""
    found = [each for each in tree.walk() if each.member.kind == "file" and _is_of_packages(each.path)]
    contents = {path: content.decode(errors="replace") for path, content in read(found).items()}
    return sorted({package for path, text in contents.items() for package in _read(path, text)})


def _is_of_packages(path: str) -> bool:
    return path == _APK or _METADATA.search(path) is not None or _DPKG.search(path) is not None


def _read(path: str, text: str) -> Iterator[Package]:
    if path == _APK:
        yield from _read_apk(text)
    elif _METADATA.search(path):
        head = HeaderParser().parsestr(text.partition("\n\n")[0] + "\n\n")
        if head["Name"] and head["Version"]:
            place = str(PurePosixPath(path).parents[1])
            license = " ".join(str(head["License-Expression"] or head["License"] or "").split())[:200]
            yield Package(
                kind="pypi", name=normalise(head["Name"]), version=head["Version"].strip(), place=place, license=license
            )
    else:
        yield from _read_dpkg(text)


def _read_dpkg(text: str) -> Iterator[Package]:
    for fields in _paragraphs(text, ": "):
        if "Package" in fields and "Version" in fields and "deinstall" not in fields.get("Status", ""):
            yield Package(
                kind="deb",
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields.get("Architecture", ""),
            )


def _read_apk(text: str) -> Iterator[Package]:
    for fields in _paragraphs(text, ":"):
        if "P" in fields and "V" in fields:
            yield Package(
                kind="apk",
                name=fields["P"],
                version=fields["V"],
                architecture=fields.get("A", ""),
                license=fields.get("L", ""),
            )


def _paragraphs(text: str, colon: str) -> Iterable[Mapping[str, str]]:
    for paragraph in text.split("\n\n"):
        lines = [line.partition(colon) for line in paragraph.splitlines() if not line.startswith((" ", "\t"))]
        yield {name: value for name, found, value in lines if found}
