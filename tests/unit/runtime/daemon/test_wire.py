import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.daemon.wire import MAX_HEADER, Frame, FrameReader, WireError, encode_frame

headers = st.dictionaries(st.text(), st.none() | st.integers() | st.text())
frames = st.lists(st.builds(Frame, headers, st.binary(max_size=200)), max_size=5)


@given(frames, st.integers(min_value=1, max_value=64))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], chunk: int) -> None:
    stream = b"".join(encode_frame(*frame) for frame in sent)
    reader = FrameReader(max_body=200)
    received = []
    for start in range(0, len(stream), chunk):
        reader.feed(stream[start : start + chunk])
        while (frame := reader.next_frame()) is not None:
            received.append(frame)
    assert received == sent
    assert reader.is_empty


def test_a_frame_that_is_cut_is_not_given() -> None:
    reader = FrameReader(max_body=10)
    reader.feed(encode_frame({"id": "a"}, b"body")[:-1])
    assert reader.next_frame() is None
    assert not reader.is_empty


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("!II", 2, 11), "larger than is allowed"),
        (struct.pack("!II", MAX_HEADER + 1, 0), "larger than is allowed"),
        (b"GET / HTTP/1.1\r\n\r\n", "larger than is allowed"),
        (struct.pack("!II", 2, 0) + b"{x", "no JSON"),
        (struct.pack("!II", 2, 0) + b"\xff\xff", "no JSON"),
        (struct.pack("!II", 2, 0) + b"[]", "no JSON object"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, message: str) -> None:
    reader = FrameReader(max_body=10)
    reader.feed(data)
    with pytest.raises(WireError, match=message):
        reader.next_frame()


def test_a_header_that_no_peer_would_accept_is_not_written() -> None:
    with pytest.raises(WireError, match="are allowed"):
        encode_frame({"log": "x" * MAX_HEADER})
