import pytest

from modelyard.errors import InputError
from modelyard.images.dockerfile.parsing import parse_dockerfile


def read(text):
    return [(each.line, each.text) for each in parse_dockerfile(text, "Dockerfile")]


def test_instructions_have_the_line_they_begin_at():
    text = "# a comment\n\nfrom base\n  env A=1 \\\n# inside\n\n   B=2\nCMD x\n"
    assert read(text) == [(3, "FROM base"), (4, "ENV A=1    B=2"), (8, "CMD x")]


def test_another_escape_is_said_at_the_top():
    assert read("# escape=`\nFROM base\nENV A=1 `\n  B=C:\\\n") == [(2, "FROM base"), (3, "ENV A=1   B=C:\\")]
    assert read("# no directive\n# escape=`\nFROM x\\\ny") == [(3, "FROM xy")]


def test_flags_come_before_the_rest():
    (copy,) = parse_dockerfile("COPY --chown=1:2 --link a --b c", "Dockerfile")
    assert (copy.flags, copy.rest) == ({"chown": "1:2", "link": ""}, "a --b c")


def test_the_json_form_is_told_from_words():
    lines = ["CMD ['a']", 'CMD ["a", 1]', 'CMD [ "a", "b c" ]']
    assert [each.array for each in parse_dockerfile("\n".join(lines), "f")] == [None, None, ["a", "b c"]]


def test_what_stands_in_a_heredoc_is_no_instruction():
    assert read("FROM a\nRUN <<EOF\nFROM b\nEOF\nUSER 1") == [(1, "FROM a"), (2, "RUN <<EOF"), (5, "USER 1")]
    with pytest.raises(InputError, match="D:1: RUN: <<EOF has no end"):
        parse_dockerfile("RUN cat <<EOF\nx", "D")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "D: holds no instruction"),
        ("FROM a\n\nRNU x", "D:3: RNU is no instruction"),
        ("# escape=x\nFROM a", "D:1: escape is 'x'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, said):
    with pytest.raises(InputError, match=said):
        parse_dockerfile(text, "D")
