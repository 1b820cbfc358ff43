"""Where requests end, and the event loop in front of clients that are slow, hostile or gone."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.gateway.framing import FramingError, parse_head, take_chunks

HEAD = b"POST /rf HTTP/1.1\r\nHost: x"


def test_a_plain_head_is_read() -> None:
    head = parse_head(HEAD + b"\r\nContent-Type:application/json \r\nCONTENT-LENGTH: 12")
    assert (head.method, head.target, head.length, head.is_odd, head.is_chunked) == (b"POST", b"/rf", 12, False, False)
    assert head.headers[b"content-type"] == b"application/json"
    assert head.keeps_alive


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST /rf",
        b"POST  /rf HTTP/1.1",
        b"post /rf HTTP/1.1",
        b"POST /r f HTTP/1.1",
        b"POST /rf HTTP/2.0",
        b"POST /rf HTTP/1.1\r",
        b"POST /rf HTTP/1.1\nHost: x",
        HEAD + b"\r\nContent-Length : 2",
        HEAD + b"\r\nContent-Length: 2\r\nContent-Length: 2",
        HEAD + b"\r\nContent-Length: 2\r\ncontent-length: 3",
        HEAD + b"\r\nContent-Length: +2",
        HEAD + b"\r\nContent-Length: 2, 2",
        HEAD + b"\r\nContent-Length: 0x2",
        HEAD + "\r\nContent-Length: ²".encode(),
        HEAD + b"\r\nContent-Length: " + b"9" * 19,
        HEAD + b"\r\nContent-Length:",
        HEAD + b"\r\nContent-Length: 2\r\nTransfer-Encoding: chunked",
        HEAD + b"\r\nTransfer-Encoding: gzip, chunked",
        HEAD + b"\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        HEAD + b"\r\nTransfer-Encoding: \x0bchunked",
        HEAD + b"\r\nTransfer-Encoding: identity",
        HEAD + b"\r\n folded: line",
        HEAD + b"\r\nX: a\x00b",
        HEAD + b"\r\nX: a\rb",
        HEAD + b"\r\nHost: y",
        HEAD + b"\r\n: empty",
        b"POST /rf HTTP/1.0\r\nTransfer-Encoding: chunked",
    ],
)
def test_what_can_be_read_in_two_ways_is_odd(data: bytes) -> None:
    head = parse_head(data)
    assert head.is_odd
    assert not head.keeps_alive


def test_repeated_headers_are_joined_and_close_is_never_lost() -> None:
    head = parse_head(HEAD + b"\r\nConnection: close\r\nAuthorization: a\r\nconnection: keep-alive\r\nAuthorization: b")
    assert head.headers[b"authorization"] == b"a,b"
    assert not head.is_odd
    assert not head.keeps_alive


def test_only_http_1_1_gets_a_100_and_only_where_it_is_asked_for() -> None:
    asking = b"\r\nContent-Length: 1\r\nExpect: 100-Continue"
    assert parse_head(HEAD + asking).expects_continue
    assert not parse_head(HEAD.replace(b"1.1", b"1.0") + asking).expects_continue
    assert not parse_head(HEAD + b"\r\nContent-Length: 1\r\nExpect: the-moon").expects_continue
    assert not parse_head(HEAD + asking + b"\r\nTransfer-Encoding: chunked").expects_continue


@pytest.mark.parametrize("version", [b"1.1", b"1.2", b"1.9"])
def test_a_later_minor_version_is_read_as_the_latest_that_is_known(version: bytes) -> None:
    head = parse_head(HEAD.replace(b"1.1", version) + b"\r\nTransfer-Encoding: chunked")
    assert (head.is_odd, head.is_chunked, head.keeps_alive, head.fault) == (False, True, True, "")


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"GET / HTTP/1.1", "has no Host header"),
        (b"GET http://x/ HTTP/1.1", "has no Host header"),
        (b"GET / HTTP/1.2\r\nContent-Length: 0", "has no Host header"),
        (b"GET / HTTP/1.1\r\nHost: a/b", "names no host: 'a/b'"),
        (b"GET / HTTP/1.0\r\nHost: a@b", "names no host: 'a@b'"),
        (b"GET / HTTP/1.1\r\nHost: a, b", "names no host: 'a, b'"),
        (b"GET / HTTP/1.0", ""),
        (b"GET / HTTP/1.1\r\nHost:", ""),
        (b"GET / HTTP/1.1\r\nhost: my_model.ns.svc:8080", ""),
        (b"GET / HTTP/1.1\r\nHost: [::1]:5111", ""),
    ],
)
def test_a_host_is_asked_for_and_one_that_is_none_is_a_fault(head: bytes, says: str) -> None:
    fault = parse_head(head).fault
    assert says in fault
    assert bool(says) == bool(fault)


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_odd(data: bytes) -> None:
    parse_head(data)
    parse_head(HEAD + b"\r\n" + data)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"\r\nX:" + b" " * 60_000 + b"\0",
        HEAD + b"\r\nX: a" + b" " * 60_000 + b"\0",
        HEAD + b"\r\nX: " + b"a " * 30_000 + b"\0",
        HEAD + b"\r\na:" * 15_000 + b"\0",
        b"A" * 60_000,
        b"GET /" + b"a" * 60_000,
    ],
    ids=["blanks", "blanks at the end", "words", "fields", "method", "target"],
)
def test_no_head_takes_long_to_read(head: bytes) -> None:
    started = time.process_time()
    assert parse_head(head).is_odd
    assert time.process_time() - started < 1


def test_an_extension_of_a_chunk_ends_some_time() -> None:
    assert not take_chunks(bytearray(b"3;" + b"a" * 4000), 0, bytearray())
    with pytest.raises(FramingError, match="a chunk without a size"):
        take_chunks(bytearray(b"3;" + b"a" * 5000), 0, bytearray())


@pytest.mark.parametrize("trailers", [b"", b"X-Checksum: abc\r\n", b"a:\r\nb: 1\r\n"])
def test_trailers_are_left_out(trailers: bytes) -> None:
    whole = b"1\r\n7\r\n0\r\n" + trailers + b"\r\n"
    for end in range(len(whole)):
        assert not take_chunks(bytearray(whole[:end]), 0, bytearray())
    data, body = bytearray(whole + b"GET / HTTP/1.1"), bytearray()
    assert take_chunks(data, 0, body)
    assert (data, body) == (b"GET / HTTP/1.1", b"7")


@pytest.mark.parametrize("after", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"a b: c\r\n\r\n", b"a: " + b"b" * 5000])
def test_what_follows_the_last_chunk_and_is_no_trailer_is_refused(after: bytes) -> None:
    with pytest.raises(FramingError, match="after the last chunk"):
        take_chunks(bytearray(b"0\r\n" + after), 0, bytearray())


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.binary(max_size=30))
def test_chunks_end_where_they_end(chunks: list[bytes], rest: bytes) -> None:
    data = bytearray(
        b"head" + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" + rest
    )
    body = bytearray()
    assert take_chunks(data, 4, body)
    assert (data, body) == (b"head" + rest, b"".join(chunks))
    whole = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    assert take_chunks(bytearray(whole), 0, again := bytearray())
    assert again == body


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.data())
def test_part_of_the_chunks_is_not_the_end(chunks: list[bytes], data: st.DataObject) -> None:
    body = b"".join(b"%x;name=value\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cut = data.draw(st.integers(0, len(body) - 1))
    arrived, taken = bytearray(body[:cut]), bytearray()
    assert not take_chunks(arrived, 0, taken)
    assert take_chunks(arrived + body[cut:], 0, taken)
    assert taken == b"".join(chunks)


@pytest.mark.parametrize("body", [b"x\r\n", b"-1\r\n", b"2\nab\r\n", b"2\r\nabc\r\n", b"\r\n"])
def test_what_is_no_chunk_is_refused(body: bytes) -> None:
    with pytest.raises(FramingError, match=re.escape("a chunk")):
        take_chunks(bytearray(body), 0, bytearray())
