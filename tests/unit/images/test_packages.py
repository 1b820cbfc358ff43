from pathlib import Path

import pytest

from modelyard.images.listing import read_content, read_listing
from modelyard.images.packages import read_packages
from modelyard.images.tree import merge
from tests.base_images import file, pack_layer

DPKG = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u9
Description: a
 Package: none

Package: gone
Status: deinstall ok config-files
Version: 1
"""
METADATA = b"Metadata-Version: 2.1\nName: Scikit_Learn\nVersion: 1.5\nLicense: BSD\n  3-Clause\n\nName: not this\n"
SITE = "opt/modelyard/environments/default/lib/python3.11/site-packages"


@pytest.fixture
def packages_of(tmp_path: Path):
    def read(*members):
        path = tmp_path / "layer.tar"
        path.write_bytes(pack_layer(*members))
        tree = merge([("layer", read_listing(path, "a layer"))])
        return read_packages(tree, lambda files: {f.path: read_content(path, "a layer", f.member) for f in files})

    return read


def test_packages_of_debian_alpine_and_python_are_found(packages_of):
    found = packages_of(
        file("var/lib/dpkg/status", DPKG.encode()),
        file("var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12\n"),
        file("var/lib/dpkg/status.d/base.md5sums", b"Package: x\nVersion: 1\n"),
        file("lib/apk/db/installed", b"C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n\n"),
        file(f"{SITE}/scikit_learn-1.5.dist-info/METADATA", METADATA),
        file(f"{SITE}/broken.dist-info/METADATA", b"\xff\xfe"),
        file("app/METADATA", b"Name: x\nVersion: 1\n"),
    )
    assert [each.purl for each in found] == [
        "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64",
        "pkg:deb/debian/base-files@12",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64",
        "pkg:pypi/scikit-learn@1.5",
    ]
    assert (found[3].place, found[3].license) == (f"/{SITE}", "BSD 3-Clause")


def test_an_image_without_packages_has_none(packages_of):
    assert packages_of(file("etc/passwd", b"")) == []
