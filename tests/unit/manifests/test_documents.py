import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import InputError
from modelyard.manifests.documents import read_documents, write_documents

# What readers of YAML 1.1 or 1.2 take for something else than the text it is.
TRAPS = [
    *("no", "No", "y", "off", "ON", "true", "null", "~", "1e3", "1E3", "0777", "0o17", "0x1f", "1_000", "12:30:45"),
    *(".inf", "-.inf", ".nan", "nan", "2024-01-01", "2024-01-01T00:00:00Z", "+1", "-", "=", "<<", "", " a", "a ", "#a"),
    *(
        "a: b",
        "a #b",
        "- a",
        "[a",
        "{a",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        '"',
        "'",
        "a\nb\n",
        "a\n\n",
        "\t",
    ),
    *("é", "\x7f", "a:", "5m", "1.0", "1."),
]
objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(TRAPS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(TRAPS), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), objects, min_size=1, max_size=3))
def test_what_is_written_is_read_again_as_it_was(value):
    assert read_documents(write_documents([value]), source="x") == [value]


@pytest.mark.parametrize("text", TRAPS)
def test_a_text_that_looks_like_something_else_is_quoted(text):
    written = write_documents([{"a": text, "b": {text: 1}}])
    assert yaml.safe_load(written) == {"a": text, "b": {text: 1}}
    value = written.splitlines()[0].removeprefix("a: ")
    assert value[0] in "\"|'"


def test_plain_words_stay_readable():
    image = f"localhost:5000/income/rf@sha256:{'0' * 64}"
    assert write_documents([{"image": image, "kind": "Deployment"}]) == f"image: {image}\nkind: Deployment\n"


def test_a_key_that_is_there_twice_is_an_error_with_its_line():
    with pytest.raises(InputError, match=r"a\.yaml:3: 'a' is there twice, the first time in line 1"):
        read_documents("a: 1\nb: 2\na: 3\n", source="a.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "a.yaml:1"),
        ("- a\n", "holds list, not an object"),
        ("no: 1\n", "the key False is no text"),
        ("a: \x00\n", "no YAML"),
        ("a: !!python/object:os.system {}\n", "a.yaml"),
    ],
)
def test_what_is_no_object_is_an_error_that_names_the_file(text, said):
    with pytest.raises(InputError, match=said):
        read_documents(text, source="a.yaml")


def test_a_list_is_taken_apart():
    assert read_documents("kind: List\nitems: [{a: 1}, {b: 2}]\n", source="x") == [{"a": 1}, {"b": 2}]
