"""Where an HTTP/1.1 request ends in the bytes of a connection (RFC 9112), without reading what it means.

Only what leaves no doubt is framed: whatever two parsers might read in two ways counts as odd. Of an odd request, the
head alone goes to gunicorn's own parser, which refuses it or not, and the connection ends after the answer.
"""

import re
from typing import NamedTuple

MAX_HEAD = 64 * 1024
_MAX_CHUNK_LINE = 4096
END = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) ([!-~]{1,8190}) HTTP/1\.([0-9])")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t -~\x80-\xff]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
_HOST = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
_ONCE = (b"content-length", b"transfer-encoding", b"host", b"content-type")


class Head(NamedTuple):
    """What framing needs of a request's head."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    """By lower-case name; repeated ones are joined by commas, as they are for the app."""
    length: int
    """Of the body; nothing is known of an odd one's."""
    is_chunked: bool
    is_odd: bool
    keeps_alive: bool
    expects_continue: bool
    """Whether the body waits for "100 Continue"; HTTP/1.0 knows none."""
    fault: str = ""
    """What is wrong with it although it is framed; mostly nothing."""


_KEPT_HEADS = 2048
_heads: dict[bytes, Head] = {}
_ODD = Head(b"", b"", {}, 0, False, True, False, False)


class FramingError(Exception):
    """A chunked body that is none."""


def parse_head(data: bytes) -> Head:
    """Read a head, given without the empty line at its end.

    >>> parse_head(b"POST /rf HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2").length
    2
    >>> parse_head(b"POST /rf HTTP/1.1\\r\\nContent-Length: 2\\r\\nTransfer-Encoding: chunked").is_odd
    True
    >>> parse_head(b"POST /rf HTTP/1.1\\r\\nContent-Length: 2").fault
    'the request has no Host header, which HTTP/1.1 asks for'
    """
    first, *lines = data.split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(first)
    if request is None:
        return _ODD
    headers: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return _ODD
        name = field[1].lower()
        if name in headers and name in _ONCE:
            return _ODD
        value = field[2].strip(b" \t")
        headers[name] = b"%b,%b" % (headers[name], value) if name in headers else value
    is_recent = request[3] != b"0"  # what a later minor version adds may be ignored (RFC 9110, 2.5)
    length, is_chunked, is_odd = _find_length(headers, is_recent=is_recent)
    # Many clients write out what is the default, "Connection: keep-alive".
    connection = headers.get(b"connection", b"keep-alive" if is_recent else b"close")
    expected = headers.get(b"expect", b"").lower() if is_recent else b""
    is_odd = is_odd or expected not in (b"", b"100-continue")
    keeps_alive = connection.lower() == b"keep-alive" and not is_odd
    expects = expected == b"100-continue" and not is_odd
    fault = _find_fault(headers, is_recent=is_recent)
    return Head(request[1], request[2], headers, length, is_chunked, is_odd, keeps_alive, expects, fault)


def parse_head_again(data: bytes) -> Head:
    """Parse a head; clients that keep their connection send the same one again and again."""
    head = _heads.get(data)
    if head is None:
        head = parse_head(data)
        if len(data) < 2048:
            if len(_heads) >= _KEPT_HEADS:
                _heads.clear()
            _heads[data] = head
    return head


def take_chunks(data: bytearray, start: int, body: bytearray) -> bool:
    """Move what the chunks hold that are whole in `data` from `start` on into `body`; tell whether the last one was.

    Raises FramingError for what is no chunk, and for an extension or trailers that do not end. Trailers are left out.

    >>> data, body = bytearray(b"2\\r\\n[1\\r\\n1\\r\\n]\\r\\n0"), bytearray()
    >>> take_chunks(data, 0, body), body, data
    (False, bytearray(b'[1]'), bytearray(b'0'))
    """
    at, is_end = start, False
    while not is_end and (line := _CHUNK.match(data, at)) is not None:
        size = int(line[1], 16)
        end = line.end() + size + 2 if size else _find_end_of_trailers(data, line.end())
        if len(data) < end:
            break
        if data[end - 2 : end] != b"\r\n":
            raise FramingError("a chunk that is longer than its size")
        body += data[line.end() : line.end() + size]
        at, is_end = end, size == 0
    if not is_end and line is None and (data.find(b"\n", at) >= 0 or len(data) - at > _MAX_CHUNK_LINE):
        raise FramingError("a chunk without a size, or with an extension that does not end")
    del data[start:at]
    return is_end


def _find_end_of_trailers(data: bytearray, start: int) -> int:
    """Where the fields after the last chunk end, with an empty line; beyond the data where that has not come yet."""
    found = data.find(END, start - 2, start + _MAX_CHUNK_LINE)
    fields = bytes(data[start:found]).split(b"\r\n") if found >= start else []
    if not all(map(_FIELD.fullmatch, fields)) or (found < 0 and len(data) - start > _MAX_CHUNK_LINE):
        raise FramingError("something after the last chunk that is no trailer, or does not end")
    return found + len(END) if found >= 0 else len(data) + 1


def _find_fault(headers: dict[bytes, bytes], *, is_recent: bool) -> str:
    host = headers.get(b"host", None if is_recent else b"")
    if host is None:
        return "the request has no Host header, which HTTP/1.1 asks for"
    return "" if _HOST.fullmatch(host) else f"the Host header names no host: {host.decode('latin-1')[:80]!r}"


def _find_length(headers: dict[bytes, bytes], *, is_recent: bool) -> tuple[int, bool, bool]:
    """The body's length, whether it comes in chunks, and whether that is odd."""
    coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if coding is not None:
        is_chunked = coding.lower() == b"chunked" and length is None and is_recent
        return 0, is_chunked, not is_chunked
    if length is None:
        return 0, False, False
    if not length.isdigit() or len(length) > 18:
        return 0, False, True
    return int(length), False, False
