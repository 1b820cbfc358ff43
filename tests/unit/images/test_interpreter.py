"""What an image says of its Python decides which wheels fit, or that none do."""

import pytest

from modelyard.images.interpreter import Interpreter


def interpreter(machine: str, libc: str) -> Interpreter:
    return Interpreter(version="3.12.4", machine=machine, libc=libc, path="/usr/local/bin/python3.12")


@pytest.mark.parametrize(
    ("machine", "libc", "platform"),
    [
        ("x86_64", "glibc 2.36", "x86_64-manylinux_2_36"),
        ("aarch64", "glibc 2.17", "aarch64-manylinux_2_17"),
        ("x86_64", "glibc 2.30", "x86_64-manylinux_2_28"),
        ("x86_64", "glibc 2.99", "x86_64-manylinux_2_40"),
        ("aarch64", "musl", "aarch64-unknown-linux-musl"),
        ("x86_64", "glibc 2.12", None),
        ("x86_64", "unknown", None),
        ("s390x", "glibc 2.36", None),
    ],
)
def test_platform_is_the_newest_that_uv_knows_and_the_image_runs(machine, libc, platform):
    assert interpreter(machine, libc).platform == platform


@pytest.mark.parametrize(("libc", "platform"), [("glibc 2.36", "gnu"), ("musl", "musl")])
def test_locks_are_for_its_minor_version_and_its_libc(libc, platform):
    target = interpreter("x86_64", libc).target
    assert (target.python, target.platform) == ("3.12", f"x86_64-unknown-linux-{platform}")
