"""One line, one requirement, in one spelling, with the place it comes from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import InputError
from modelyard.requirements.parse import parse_requirements, read_requirements

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?", fullmatch=True)
VERSIONS = st.builds(lambda parts: ".".join(map(str, parts)), st.lists(st.integers(0, 99), min_size=1, max_size=3))
SPECIFIERS = st.builds(
    lambda operator, version: operator + version, st.sampled_from(["==", ">=", "<=", "<", ">", "!="]), VERSIONS
)


def texts(source: str) -> list[str]:
    return [line.text for line in parse_requirements(source, source="r.txt")]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Scikit_Learn == 1.6", "scikit-learn==1.6"),
        ("numpy<3,>=2.0", "numpy>=2.0,<3"),
        ("torch[b, a]", "torch[a,b]"),
        ("numpy  # fast", "numpy"),
        ("tomli ; python_version<'3.11'", 'tomli; python_version < "3.11"'),
        ("x @ https://host/x-1.whl#sha256=abc # pinned", "x @ https://host/x-1.whl#sha256=abc"),
        ("x==1 --hash=sha256:b --hash sha256:a", "x==1 --hash=sha256:a --hash=sha256:b"),
        ("-i https://host/simple", "--index-url https://host/simple"),
        ("--extra-index-url=https://host/simple", "--extra-index-url https://host/simple"),
        ("--no-index", "--no-index"),
    ],
)
def test_one_spelling(written, text):
    assert texts(written) == [text]


def test_comments_blank_lines_crlf_bom_and_no_final_newline():
    assert texts("# top\r\n\r\nnumpy\r\n  # more\r\nsix") == ["numpy", "six"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    (tmp_path / "r.txt").write_bytes(b"\xef\xbb\xbfnumpy")
    assert [line.text for line in read_requirements(tmp_path / "r.txt")] == ["numpy"]


def test_lines_are_joined_at_a_backslash_and_named_by_their_first():
    [numpy, six] = parse_requirements("numpy \\\n  >=2 \\\n  --hash=sha256:a\nsix\n", source="r.txt")
    assert (numpy.text, numpy.place) == ("numpy>=2 --hash=sha256:a", "r.txt:1")
    assert six.place == "r.txt:4"


def test_no_file_asks_for_nothing(tmp_path):
    assert read_requirements(tmp_path / "none.txt") == ()


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "r.txt").write_bytes(b"numpy\xff")
    with pytest.raises(InputError, match=r"r\.txt: not UTF-8 text \(byte 5\)"):
        read_requirements(tmp_path / "r.txt")


@pytest.mark.parametrize("line", ["numpy<", "a b", "1=2", "==1", "numpy;", "https://host/x.whl"])
def test_what_is_no_requirement_is_named_with_file_and_line(line):
    with pytest.raises(InputError, match=r"r\.txt:2: .* is no requirement"):
        texts(f"six\n{line}")


@pytest.mark.parametrize("line", ["--pre", "--trusted-host x", "--index-url", "-i a b", "--nonsense=1"])
def test_options_that_hold_for_one_machine_are_refused(line):
    with pytest.raises(InputError, match=r"r\.txt:1: .* is an option that can't stand"):
        texts(line)


@pytest.mark.parametrize("line", ["-i htp:/x", "--extra-index-url pypi.local/simple", "-f wheels", "-f /srv/wheels"])
def test_what_is_no_address_is_told_with_file_line_and_where_a_folder_is_set(line):
    with pytest.raises(InputError, match=rf"^r\.txt:2: '{line}': '{line.split()[1]}' is no address") as caught:
        texts(f"six\n{line}")
    assert "pip config set global." in caught.value.hint
    assert texts("-i https://x/simple\n--extra-index-url /srv/simple\n-f ${WHEELS}") == [
        "--index-url https://x/simple",
        "--extra-index-url /srv/simple",
        "--find-links ${WHEELS}",
    ]


@given(NAMES, st.lists(SPECIFIERS, max_size=3, unique=True))
def test_the_spelling_is_stable(name, specifiers):
    [once] = texts(name + ",".join(specifiers))
    assert texts(once) == [once]


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_with_its_place(text):
    try:
        lines = parse_requirements(text, source="r.txt")
    except InputError as error:
        assert "r.txt:" in error.message
    else:
        assert all("\n" not in line.text and line.text.isprintable() for line in lines)
