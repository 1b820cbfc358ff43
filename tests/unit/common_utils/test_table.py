import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_utils.table import Table, read_table, write_table

# Cells of text columns: anything, as long as the column can't be taken for numbers.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")).map("x{}".format)


@given(st.lists(st.tuples(st.integers(), TEXT, st.floats(allow_nan=False)), min_size=1))
def test_reading_is_the_inverse_of_writing(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    write_table(path, ["n", "text", "x"], rows)
    assert read_table(path).rows == [list(row) for row in rows]


def test_a_column_with_one_word_is_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\nx,3\n")
    assert read_table(path) == Table(("a", "b"), [["1", 2], ["x", 3]])


def test_a_byte_order_mark_and_a_missing_final_newline_are_no_error(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,2.5")
    assert read_table(path) == Table(("a", "b"), [[1, 2.5]])


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    assert read_table(path) == Table(("a", "b"), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("a,b\n1,2\n3\n", r":3: 1 values, the header has 2"), ("a\n1,2\n", ":2: 2 values")],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"t\.csv.*{message}"):
        read_table(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.csv"
    write_table(path, ["a"], [[1]])

    def rows():
        yield [2]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_table(path, ["a"], rows())
    assert read_table(path).rows == [[1]]
    assert list(tmp_path.iterdir()) == [path]


def test_labels_are_taken_out():
    features, labels = Table(("a", "y", "b"), [[1, "no", 2], [3, "yes", 4]]).take_column("y")
    assert (features, labels) == (Table(("a", "b"), [[1, 2], [3, 4]]), ["no", "yes"])
    with pytest.raises(ValueError, match=r"no column 'y' \(columns: a, b\)"):
        features.take_column("y")
