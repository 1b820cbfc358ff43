"""Base images from files of this machine: what they are made of is real, and nothing of them is run."""

import os
import platform
import shutil
import tarfile

import pytest

from modelyard.engines.oci.bases import forget_bases, open_base
from modelyard.engines.oci.layout import Layout
from modelyard.errors import EngineError
from modelyard.images.platforms import TargetPlatform
from tests.base_images import ARCHITECTURE, file, folder, link, make_image, make_index, own_python, pack_layer

HERE = TargetPlatform(architecture=ARCHITECTURE)


@pytest.fixture(scope="module")
def python_layer():
    return pack_layer(*own_python())


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "home")


@pytest.fixture
def made(tmp_path):
    return Layout(tmp_path / "made")


def test_its_python_is_told_without_running_it(python_layer, made, layout, tmp_path):
    upper = pack_layer(link("usr/local/bin/python3", "../../bin/python3"))
    made.tag(make_image(made, [python_layer, upper], Env=["PATH=/usr/local/bin:/usr/bin"]), "py")
    base = open_base("oci:made:py", HERE, os.environ, layout, folder=tmp_path)
    found = base.interpreter
    assert found.version == platform.python_version()
    assert found.machine == platform.machine()
    assert found.libc == " ".join(platform.libc_ver())
    assert found.path == base.tree.find("/usr/bin/python3").path
    assert base.config["Env"] == ["PATH=/usr/local/bin:/usr/bin"]


def test_it_is_told_again_without_its_layers(python_layer, made, layout, tmp_path):
    made.tag(make_image(made, [python_layer]), "py")
    first = open_base("oci:made", HERE, os.environ, layout, folder=tmp_path)
    told = first.interpreter
    for layer in first.layers:
        layout.path(layer["digest"]).write_bytes(b"")
    assert open_base("oci:made", HERE, os.environ, layout, folder=tmp_path).interpreter == told


def test_one_of_the_layout_itself_is_found_by_its_tag_and_by_its_digest(layout):
    top = make_image(layout, [pack_layer(folder("etc"))])
    layout.tag(top, "mine:v1")
    for reference in ("mine:v1", top["digest"]):
        assert open_base(reference, HERE, os.environ, layout).digest == top["digest"]


def test_of_an_index_the_platform_is_taken(made, layout, tmp_path):
    images = {name: make_image(made, [pack_layer(file(name))], architecture=name) for name in ("amd64", "arm64")}
    made.tag(make_index(made, images), "both")
    for name, image in images.items():
        base = open_base("oci:made", TargetPlatform(architecture=name), os.environ, layout, folder=tmp_path)
        assert (base.digest, [found.path for found in base.tree.walk()]) == (image["digest"], [f"/{name}"])
    with pytest.raises(EngineError, match="has no image for linux/s390x") as caught:
        open_base("oci:made", TargetPlatform(architecture="s390x"), os.environ, layout, folder=tmp_path)
    assert caught.value.hint == "it has linux/amd64, linux/arm64"


def test_another_image_of_that_name_is_seen(made, layout, tmp_path):
    made.tag(make_image(made, [pack_layer(file("one"))]), "py")
    first = open_base("oci:made:py", HERE, os.environ, layout, folder=tmp_path)
    made.tag(make_image(made, [pack_layer(file("two"))]), "py")
    second = open_base("oci:made:py", HERE, os.environ, layout, folder=tmp_path)
    assert first.digest != second.digest
    assert len(layout.index) == 1, "the old one is forgotten"


def test_an_archive_of_a_layout_will_do(made, layout, tmp_path):
    made.tag(make_image(made, [pack_layer(file("one"))]), "py")
    with tarfile.open(tmp_path / "py.tar", "w") as archive:
        archive.add(made.root, arcname=".")
    shutil.rmtree(made.root)
    base = open_base("oci-archive:py.tar", HERE, os.environ, layout, folder=tmp_path)
    assert [found.path for found in base.tree.walk()] == ["/one"]
    layout.prune()
    assert layout.has(base.digest), "what a build got is kept for the next"
    assert forget_bases(layout) == 1
    layout.prune()
    assert not layout.has(base.digest)


NOT_ELF = b"#!/bin/sh\nexec python\n" + bytes(64)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([folder("usr/bin")], r"(?m)oci:made has no python3 in /usr/bin$"),
        (
            [file("usr/bin/python2.7"), file("opt/py/bin/python3.11")],
            r"no python3 in /usr/bin; it has /opt/py/bin/python3.11 \(not in PATH\), /usr/bin/python2.7",
        ),
        ([link("usr/bin/python3", "/nowhere")], r"(?m)no python3 in /usr/bin; it has /usr/bin/python3$"),
        ([file("usr/bin/python3", NOT_ELF)], "its /usr/bin/python3 is no program, but begins with '#!/bin/sh'"),
        ([file("usr/bin/python3", b"\x7fELF\x02\x01" + bytes(200))], "python3 does not say which Python it is"),
        ([file("usr/bin/python3", b"\x7fELF\x02\x01" + b"\xff" * 200)], "python3 is a broken program"),
    ],
)
def test_without_a_fitting_python_it_says_what_was_found(made, layout, tmp_path, members, said):
    made.tag(make_image(made, [pack_layer(*members)], Env=["PATH=/usr/bin"]), "py")
    base = open_base("oci:made", HERE, os.environ, layout, folder=tmp_path)
    with pytest.raises(EngineError, match=said) as caught:
        base.interpreter  # noqa: B018
    assert "MODELYARD_BASE_IMAGE names another" in str(caught.value.hint)


def test_a_python_for_another_processor_is_refused(python_layer, made, layout, tmp_path):
    other = "arm64" if ARCHITECTURE == "amd64" else "amd64"
    made.tag(make_image(made, [python_layer], architecture=other), "py")
    base = open_base("oci:made", TargetPlatform(architecture=other), os.environ, layout, folder=tmp_path)
    with pytest.raises(EngineError, match=f"is said to be for linux/{other}, but its .* is for {platform.machine()}"):
        base.interpreter  # noqa: B018


def test_layers_that_its_configuration_does_not_name_are_an_error(made, layout, tmp_path):
    top = make_image(made, [pack_layer(file("one"))])
    manifest = made.read_manifest(top).document
    other = made.read_manifest(make_image(made, [pack_layer(file("two"))])).document
    made.tag(made.write_json({**manifest, "layers": other["layers"]}, top["mediaType"]), "py")
    base = open_base("oci:made", HERE, os.environ, layout, folder=tmp_path)
    with pytest.raises(EngineError, match=r"the layer sha256:\w+ unpacks to sha256:\w+, not to sha256:\w+"):
        base.tree  # noqa: B018
