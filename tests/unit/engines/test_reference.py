"""Image references."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.engines.protocols import ContainerSpec
from modelyard.engines.reference import normalise_tag
from modelyard.errors import InputError


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("demo", "demo:latest"),
        ("demo:1.0", "demo:1.0"),
        ("team/demo", "team/demo:latest"),
        ("registry.example:5000/team/demo:V1", "registry.example:5000/team/demo:V1"),
        ("localhost/demo", "localhost/demo:latest"),
        ("a.b_c__d--e", "a.b_c__d--e:latest"),
    ],
)
def test_tag_is_written_in_full(text, full):
    assert normalise_tag(text) == full


@pytest.mark.parametrize(
    "text", ["", "Demo", "a b", "../a", "a//b", "a:", ":a", "a:b:c", "-a", "a_", "a\n", "a:" + "x" * 129]
)
def test_what_is_no_reference_is_an_error(text):
    with pytest.raises(InputError, match="is no image tag"):
        normalise_tag(text)


@pytest.mark.parametrize("name", ["", "a", "a b", "-ab", "a/b", "ab\n", "Übel"])
def test_what_no_engine_takes_as_a_container_s_name_is_an_error(name):
    with pytest.raises(InputError, match="is no name of a container"):
        ContainerSpec("demo", name=name)
    assert ContainerSpec("demo", name="a_B.1-").name == "a_B.1-"


@given(st.text(max_size=30))
def test_full_form_stays_as_it_is(text):
    try:
        full = normalise_tag(text)
    except InputError:
        return
    assert normalise_tag(full) == full
