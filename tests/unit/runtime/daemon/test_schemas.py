import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta

from modelyard.runtime.daemon.schemas import infer_schema, unite_schemas

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_a_value_has_the_schema_that_it_showed(value: object) -> None:
    schema = infer_schema(value)
    meta.validate(schema)
    Draft202012Validator(schema).validate(value)


@settings(deadline=None)
@given(st.lists(JSON, min_size=1, max_size=4))
def test_each_value_has_the_united_schema(values: list[object]) -> None:
    validator = Draft202012Validator(unite_schemas(map(infer_schema, values)))
    for value in values:
        validator.validate(value)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "boolean"}),
        ([1, 2.5], {"type": "array", "items": {"type": "number"}}),
        ([1, None], {"type": "array", "items": {"type": ["integer", "null"]}}),
        ([], {"type": "array", "items": {}}),
        ([[], [1]], {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        (
            [{"a": 1, "b": "x"}, {"a": 0.5}],
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"a": {"type": "number"}, "b": {"type": "string"}},
                    "required": ["a"],
                },
            },
        ),
        ([1, [2]], {"type": "array", "items": {"anyOf": [{"type": "integer"}, infer_schema([2])]}}),
    ],
)
def test_a_schema_says_what_was_seen(value: object, schema: object) -> None:
    assert infer_schema(value) == schema


def test_an_object_of_very_many_keys_is_a_table() -> None:
    schema = infer_schema({str(number): number for number in range(500)})
    assert schema == {"type": "object", "additionalProperties": {"type": "integer"}}
