import pytest

from modelyard.errors import InputError
from modelyard.images.platforms import parse_platform


@pytest.mark.parametrize(
    ("text", "platform", "machine"),
    [
        ("linux/amd64", "linux/amd64", "x86_64"),
        ("linux/aarch64", "linux/arm64", "aarch64"),
        ("arm64/v8", "linux/arm64", "aarch64"),
        ("linux/arm/v7", "linux/arm/v7", "arm"),
        ("Linux/AMD64", "linux/amd64", "x86_64"),
    ],
)
def test_platforms_have_one_spelling(text, platform, machine):
    found = parse_platform(text)
    assert (str(found), found.machine) == (platform, machine)


@pytest.mark.parametrize("text", ["", "linux", "windows/amd64", "linux/vax", "linux/amd64/v2/x", "linux/../amd64"])
def test_what_is_no_platform_is_named(text):
    with pytest.raises(InputError, match="is no platform that images are made for"):
        parse_platform(text)
