"""What a request's body is, before any protocol looks into it: JSON, or a form."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import IO, Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request as PlainRequest

from modelyard.runtime.daemon.wire import Frame
from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.values import from_json_bytes

FORM = "multipart/form-data"
TEXT = "text/plain"
RAW_FIELD = "strData"
FILE_FIELD = "binData"
_MAX_NAMES = 1 << 26
_MAX_OBJECT = 1 << 16

Read = Callable[..., Frame]
"""Has a request's body converted: the conversion and the body in, what it becomes out (see Conversion.read)."""


class Form(PlainRequest):
    """A request that is a multipart form. Its files stay in memory: they are no larger than the body."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()


def take_json(request: Request, *, keep: bool = False, others: Sequence[str] = ()) -> bytes:
    """The body of a request that is declared as JSON, or not at all; raise Problem 415 otherwise.

    `keep` it where it is to be read again; `others` are the media types that would have done too.
    """
    media_type = request.mimetype
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        hint = " or ".join(["send JSON, with Content-Type: application/json", *others])
        raise Problem(415, f"the body is declared {media_type}: {hint}")
    check_coding(request)
    return request.get_data(cache=keep)


def take_json_or_form(request: Request, read: Read, *, keep: bool = False, others: Sequence[str] = ()) -> bytes:
    """The same; the fields and files of a multipart form become a JSON object.

    So does a plain text that is a JSON object, list or string by its first character, as clients of Nuclio send it.
    """
    if request.mimetype == TEXT and request.get_data().lstrip()[:1] in (b"{", b"[", b'"'):
        check_coding(request)
        return request.get_data(cache=keep)
    if request.mimetype != FORM:
        return take_json(request, keep=keep, others=(*others, f"{FORM} (a file as its field {FILE_FIELD})"))
    check_coding(request)
    return read(convert_form, request.get_data(cache=keep), content_type=request.content_type).body


def convert_form(body: bytes, *, content_type: str) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: a multipart form becomes a JSON object."""
    return {}, json.dumps(decode_form(open_form(body, content_type)), separators=(",", ":")).encode()


def open_form(body: bytes, content_type: str) -> Form:
    """A form, as its fields and files can be read; raise Problem 413 where there are too many."""
    about = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    form = Form({**about, "wsgi.input": BytesIO(body)})
    form.max_form_memory_size = len(body)
    try:
        form.form  # noqa: B018 - it is parsed when it is first asked for
    except RequestEntityTooLarge:
        raise Problem(413, f"the form has more than {form.max_form_parts} fields: send fewer") from None
    return form


def take_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body of a request that may do without one; an empty one for every other body.

    One that is larger than such an object ever is is not looked into.
    """
    content = request.get_data()
    try:
        document = from_json_bytes(content) if len(content) <= _MAX_OBJECT else None
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def make_records(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows as objects, each with all names; raise Problem 400 where one is there twice, or they are too long by far."""
    if len(set(names)) < len(names):
        twin = Counter(names).most_common(1)[0][0]
        raise Problem(400, f"more than one column is named {twin!r}: an object holds one of them")
    if sum(map(len, names)) * len(rows) > _MAX_NAMES:
        raise Problem(400, f"the names are too long for {len(rows)} rows: shorten them, or send fewer rows")
    return [dict(zip(names, row, strict=True)) for row in rows]


def check_coding(request: Request) -> None:
    """Raise Problem 415 where the body is compressed."""
    coding = request.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise Problem(415, f"the body is declared {coding}: send it without Content-Encoding")


def decode_form(request: PlainRequest) -> dict[str, Any]:
    """The fields of a multipart form: text is JSON (`strData` is taken as it is), a file's text a string.

    The file `binData` may be anything: it becomes base64. Of several of one name the first counts.
    """
    fields: dict[str, Any] = {}
    for name, text in request.form.items():
        fields[name] = text if name == RAW_FIELD else _decode_field(name, text)
    for name, file in request.files.items():
        content = file.read()
        fields[name] = base64.b64encode(content).decode() if name == FILE_FIELD else _decode_file(name, content)
    return fields


def _decode_field(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        hint = f"write it as JSON (a string in quotes), or send the field {RAW_FIELD}"
        raise Problem(400, f"the field {name!r} is no JSON: {hint}") from None


def _decode_file(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        hint = f"send a file that is no text in the field {FILE_FIELD}"
        raise Problem(400, f"the file in the field {name!r} is no UTF-8 text: {hint}") from None
