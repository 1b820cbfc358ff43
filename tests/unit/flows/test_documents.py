import pytest

from modelyard.errors import InputError
from modelyard.flows.documents import parse_document, read_document


def parse(text, tmp_path):
    return parse_document(text.encode(), tmp_path / "flow.yaml")


class TestValues:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1e-3", 0.001),
            ("1.5", 1.5),
            ("-.5", -0.5),
            (".inf", float("inf")),
            ("12", 12),
            ("0x10", 16),
            ("0o10", 8),
            ("true", True),
            ("no", "no"),
            ("on", "on"),
            ("1:30", "1:30"),
            ("2026-01-01", "2026-01-01"),
            ("null", None),
            ("~", None),
            ("'1'", "1"),
            ("1_000", "1_000"),
        ],
    )
    def test_scalars_are_those_of_yaml_1_2(self, text, value, tmp_path):
        assert parse(f"a: {text}", tmp_path).value == {"a": value}

    def test_a_file_that_is_not_there_is_empty(self, tmp_path):
        assert read_document(tmp_path / "none.yaml").value == {}

    def test_a_byte_order_mark_is_no_value(self, tmp_path):
        assert parse("\ufeffa: 1", tmp_path).value == {"a": 1}


class TestPlaces:
    def test_each_value_has_its_line(self, tmp_path):
        document = parse("a:\n  b: 1\n  c:\n    - x\n    - y\n", tmp_path)
        assert document.where("a", "b") == f"{tmp_path}/flow.yaml:2"
        assert document.where("a", "c", 1) == f"{tmp_path}/flow.yaml:5"

    def test_what_is_not_there_is_where_it_would_be(self, tmp_path):
        assert parse("\na:\n  b: 1\n", tmp_path).where("a", "z") == f"{tmp_path}/flow.yaml:2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "flow.yaml:3: 'a' stands there twice, first in line 1"),
        ("a: [1\nb: 2\n", "flow.yaml:2: no YAML"),
        ("a:\n\t- 1\n", "flow.yaml:2: no YAML"),
        ("1: a\n", "flow.yaml:1: 1 is no word"),
        ("a: &x [*x]\n", "flow.yaml:1: it contains itself"),
        ("a: !!python/object:os.system x\n", "flow.yaml:1: no YAML"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("---\na: 1\n---\nb: 1\n", "flow.yaml:3: no YAML"),
    ],
)
def test_what_is_no_configuration_is_an_error_with_its_line(text, said, tmp_path):
    with pytest.raises(InputError) as raised:
        parse(text, tmp_path)
    assert said in str(raised.value)


def test_what_is_no_text_is_an_error(tmp_path):
    (tmp_path / "flow.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"flow\.yaml: no YAML"):
        read_document(tmp_path / "flow.yaml")
