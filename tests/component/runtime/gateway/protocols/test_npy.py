from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.npy import NPY, decode_npy, encode_npy

PREDICT = """
    def echo(msg): return msg.payload
    def total(msg): return {"predictions": [sum(row) for row in msg.payload["instances"]]}
    def both(msg): return {"labels": ["<=50K", ">50K"], "more": ["a", ""]}
    def odd(msg): return [{"a": 1}]
    def huge(msg): return [10**400]
"""
DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.unsigned_integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    arrays.unicode_string_dtypes(endianness="?", max_len=5),
)


def texts(dtype: np.dtype[Any]) -> st.SearchStrategy[str] | None:
    if dtype.kind != "U":
        return None
    letters = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
    return st.text(letters, max_size=dtype.itemsize // 4)


def save(array: Any, **options: Any) -> bytes:
    file = BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@given(st.data())
def test_what_numpy_saves_is_read_as_numpy_reads_it(data: st.DataObject) -> None:
    dtype = data.draw(DTYPES)
    array = data.draw(arrays.arrays(dtype, arrays.array_shapes(max_dims=4, max_side=4), elements=texts(dtype)))
    array = data.draw(st.sampled_from([array, np.asfortranarray(array)]))
    expected = array.tolist()
    if dtype.kind == "f":
        finite = np.isfinite(array)
        expected = np.where(finite, array.astype(object), None).tolist()
    assert decode_npy(save(array)) == expected


@given(st.data())
def test_numpy_loads_what_is_written(data: st.DataObject) -> None:
    shape = data.draw(arrays.array_shapes(max_dims=3, max_side=4))
    dtype = data.draw(st.sampled_from([np.dtype("?"), np.dtype("i8"), np.dtype("f8"), np.dtype("U5")]))
    array = data.draw(arrays.arrays(dtype, shape, elements=texts(dtype)))
    loaded = np.load(BytesIO(encode_npy(array.tolist())), allow_pickle=False)
    assert loaded.shape == shape
    assert loaded.tolist() == array.tolist() or dtype.kind == "f"
    if dtype.kind == "f":
        np.testing.assert_array_equal(loaded, array)


@given(st.binary(max_size=200))
def test_other_bytes_are_400_and_nothing_else(data: bytes) -> None:
    good = save(np.arange(6.0).reshape(2, 3))
    for candidate in (data, good[: len(data)], good[:10] + data + good[10 + len(data) :], good + data[:1] + b"x"):
        if candidate == good:
            continue
        try:
            decode_npy(candidate)
        except Problem as problem:
            assert problem.status == 400


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"1,2", "no NPY file"),
        (save(np.array([{}]), allow_pickle=True), "'|O'"),
        (save(np.array(["2026-11-21"], "M8[D]")), "'<M8[D]'"),
        (save(np.arange(3.0))[:-1], "take 24 bytes, the body has 23"),
        (save(np.array([], "U1")).replace(b"<U1", b"<U0").replace(b"(0,)", b"(9,)"), "'<U0'"),
        (save(np.array(["ab"])).replace(b"<U2", "<U²".encode()).replace(b" \n", b"\n"), "'<U²'"),
        (save(np.zeros((3_000_000, 1, 1), "?")), "the shape [3000000, 1, 1] takes 6000000 lists"),
        (save(np.arange(3.0)).replace(b"(3,)", b"(9,)"), "take 72 bytes, the body has 24"),
    ],
)
def test_what_holds_no_plain_values_is_400_with_the_reason(serve: Any, data: bytes, reason: str) -> None:
    answer = serve(PREDICT, "echo").post("/invocations", data=data, content_type=NPY)
    assert answer.status_code == 400
    assert reason in answer.json["detail"]


def test_an_array_in_and_an_array_out(serve: Any) -> None:
    answer = serve(PREDICT, "total").post(
        "/invocations", data=save(np.array([[1, 2], [3, 4]])), content_type=NPY, headers={"Accept": NPY}
    )
    assert answer.mimetype == NPY
    assert np.load(BytesIO(answer.data)).tolist() == [3, 7]


def test_several_lists_are_columns_of_text(serve: Any) -> None:
    answer = serve(PREDICT, "both").post("/invocations", json={}, headers={"Accept": NPY})
    assert np.load(BytesIO(answer.data)).tolist() == [["<=50K", "a"], [">50K", ""]]


def test_a_long_text_among_many_is_406_before_it_takes_memory() -> None:
    with pytest.raises(Problem, match="longest text") as caught:
        encode_npy(["x" * 100_000] + [""] * 100_000)
    assert caught.value.status == 406


@pytest.mark.parametrize("route", ["odd", "huge"])
def test_an_answer_that_is_no_array_is_406(serve: Any, route: str) -> None:
    answer = serve(PREDICT, route).post("/invocations", json={}, headers={"Accept": NPY})
    assert answer.status_code == 406
    assert "accept application/json" in answer.json["detail"]
