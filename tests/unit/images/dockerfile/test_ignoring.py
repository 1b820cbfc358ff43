import pytest

from modelyard.errors import InputError
from modelyard.images.dockerfile.ignoring import match_paths, parse_patterns


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        # moby's own cases: https://github.com/moby/patternmatcher/blob/main/patternmatcher_test.go
        (["**"], "file", True),
        (["**/"], "dir/file", True),
        (["**/**"], "dir/file", True),
        (["dir/**"], "dir/file", True),
        (["dir/**"], "dir/dir2/file", True),
        (["**/dir2/*"], "dir/dir2/file", True),
        (["**/dir2/*"], "dir/dir2/dir2/file", True),
        (["**dir2/*"], "dir/dir2/file", True),
        (["**file"], "dir/dir/file", True),
        (["**/file"], "dir/dir/file.txt", False),
        (["**/*.txt"], "dir/dir/file.txt", True),
        (["**/**/*.txt"], "dir/file.txt", True),
        (["a**/*.txt"], "a/dir/file.txt", True),
        (["a/*.txt"], "a/b/file.txt", False),
        (["a/**/*.txt"], "a/file.txt", True),
        ([".d"], "xd", False),
        ([".*"], ".d", True),
        (["[a-c]bc"], "bbc", True),
        (["[^a]bc"], "abc", False),
        (["a[b-d]e"], "ace", True),
        (["a\\*b"], "a*b", True),
        (["a\\*b"], "axb", False),
        (["?"], "é", True),
        (["*"], "dir/file", True),
        (["/dir/"], "dir/file", True),
        (["dir/../other"], "other/x", True),
        (["  padded  "], "padded", True),
        (["#not"], "#not", False),
        (["docs", "!docs/README.md"], "docs/README.md", False),
        (["docs", "!docs/README.md"], "docs/other.md", True),
        (["*", "!keep", "keep/not"], "keep/not/x", True),
        (["!docs", "docs"], "docs", True),
        (["a+(b)$"], "a+(b)$", True),
    ],
)
def test_the_last_line_that_fits_decides(lines, path, ignored):
    assert parse_patterns("\n".join(lines), ".dockerignore").ignores(path) is ignored


@pytest.mark.parametrize(("line", "said"), [("a[b", r"f:2: 'a\[b' is no pattern"), ("!", "f:2: '!' names nothing")])
def test_what_is_no_pattern_is_named_with_its_line(line, said):
    with pytest.raises(InputError, match=said):
        parse_patterns(f"ok\n{line}", "f")


def test_the_pattern_of_a_copy_stays_in_one_folder():
    paths = ["a.py", "b.txt", "sub/c.py", "sub/deep/d.py"]
    assert match_paths("*.py", paths) == ["a.py"]
    assert match_paths("*/*.py", paths) == ["sub/c.py"]
    assert match_paths("**/d.py", paths) == [], "a COPY has no **"
