"""Base images for tests, made of tar members and of this machine's own Python and C library."""

import gzip
import hashlib
import io
import os
import platform
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modelyard.engines.oci.layout import CONFIG, LAYER, Layout
from modelyard.engines.oci.registry import INDEX, MANIFEST

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def file(name: str, content: bytes = b"", *, mode: int = 0o644, uid: int = 0) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uid = len(content), mode, uid
    return member, content


def folder(name: str, *, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    return member, b""


def link(name: str, target: str, *, hard: bool = False) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
    return member, b""


def pack_layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def own_python() -> list[tuple[tarfile.TarInfo, bytes]]:
    """Enough of this machine's Python to tell what it is: the program, its library, the C library and its loader."""
    program = Path(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]
    place = program.relative_to("/")
    members = [
        link("bin", "usr/bin"),
        file(str(place), program.read_bytes(), mode=0o755),
        link("usr/bin/python3", f"/{place}"),
    ]
    library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY") + ".1.0")
    if library.is_file():
        members.append(file(str(library.relative_to("/")), library.read_bytes()))
    for loader in (Path("/lib64/ld-linux-x86-64.so.2"), Path("/lib/ld-linux-aarch64.so.1")):
        if loader.exists():
            real = loader.resolve()
            members.append(file(str(real.relative_to("/")), real.read_bytes(), mode=0o755))
            members.append(link(str(loader.relative_to("/")), str(real)))
            libc = real.parent / "libc.so.6"
            members.append(file(str(libc.relative_to("/")), libc.read_bytes()))
    return members


def make_image(
    layout: Layout, layers: Iterable[bytes], *, architecture: str = ARCHITECTURE, **config: Any
) -> dict[str, Any]:
    """An image of those layers, uncompressed as given; returns its descriptor."""
    given = list(layers)
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in given]
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.write_json(document, CONFIG),
        "layers": [layout.write(gzip.compress(layer, 1, mtime=0), LAYER) for layer in given],
    }
    return layout.write_json(manifest, MANIFEST)


def make_index(layout: Layout, images: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """An index of images by architecture, with an attestation beside the first."""
    manifests = [{**each, "platform": {"os": "linux", "architecture": name}} for name, each in images.items()]
    attestation = {**next(iter(images.values())), "platform": {"os": "unknown", "architecture": "unknown"}}
    return layout.write_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, *manifests]}, INDEX)
