import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.engines.oci.address import Address, parse_address
from modelyard.errors import InputError

DIGEST = f"sha256:{'a1' * 32}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", ("docker.io", "library/python", "latest", None)),
        ("me/rf:v1", ("docker.io", "me/rf", "v1", None)),
        ("localhost/rf", ("localhost", "rf", "latest", None)),
        ("localhost:5000/a/b:V1", ("localhost:5000", "a/b", "V1", None)),
        ("registry.example/rf@" + DIGEST, ("registry.example", "rf", None, DIGEST)),
        ("registry.example/rf:v1@" + DIGEST, ("registry.example", "rf", "v1", DIGEST)),
        ("[::1]:5000/rf", ("[::1]:5000", "rf", "latest", None)),
        ("Registry.Example:443/rf", ("Registry.Example:443", "rf", "latest", None)),
    ],
)
def test_what_is_left_out_is_filled_in_as_docker_does(text, expected):
    address = parse_address(text)
    assert (address.host, address.name, address.tag, address.digest) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Rf",
        "a//b",
        "host.example/",
        "a:b:c",
        "a@sha256:12",
        "a b",
        "../a",
        "-a",
        "a:-",
        "h.example:99999999/a",
        "localhost:5000",
        "h.example:443",
        "a\n",
    ],
)
def test_what_is_no_place_is_refused_with_its_value(text):
    with pytest.raises(InputError) as caught:
        parse_address(text)
    assert repr(text) in caught.value.message


@given(
    host=st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}(:[0-9]{1,4})?", fullmatch=True),
    name=st.from_regex(r"[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,2}", fullmatch=True),
    tag=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True),
    digest=st.sampled_from([None, DIGEST]),
)
def test_an_address_is_read_as_it_is_written(host, name, tag, digest):
    address = Address(host=host, name=name, tag=tag, digest=digest)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.9.9.9:1", True),
        ("[::1]:5", True),
        ("localhost.example", False),
    ],
)
def test_loopback_is_this_machine_alone(host, expected):
    assert Address(host=host, name="a", tag=None, digest=None).is_loopback is expected
