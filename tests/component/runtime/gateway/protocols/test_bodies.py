import base64
from io import BytesIO
from typing import Any

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"
ECHO = "def echo(msg): return msg.payload"


def test_a_file_in_a_form_reaches_the_function_as_base64(serve: Any) -> None:
    answer = serve(ECHO, "echo").post("/echo", data={"binData": (BytesIO(PNG), "digit.png", "image/png")})
    assert answer.json == {"binData": base64.b64encode(PNG).decode()}


def test_fields_are_json_but_strdata(serve: Any) -> None:
    form = {"threshold": "0.5", "strData": "a cat", "names": (BytesIO("é,b".encode()), "names.csv")}
    answer = serve(ECHO, "echo").post("/echo", data=form, content_type="multipart/form-data")
    assert answer.json == {"threshold": 0.5, "strData": "a cat", "names": "é,b"}


def test_a_form_with_a_payload_is_an_envelope(serve: Any) -> None:
    form = {"payload": '{"x": 1}'}
    assert serve(ECHO, "echo").post("/echo", data=form, content_type="multipart/form-data").json == {
        "payload": {"x": 1}
    }


def test_a_field_that_is_no_json_is_400_and_named(serve: Any) -> None:
    answer = serve(ECHO, "echo").post("/echo", data={"label": "cat"}, content_type="multipart/form-data")
    assert answer.status_code == 400
    assert "'label' is no JSON" in answer.json["detail"]


def test_a_picture_in_another_field_is_400_and_told_where_to_go(serve: Any) -> None:
    answer = serve(ECHO, "echo").post("/echo", data={"image": (BytesIO(PNG), "digit.png")})
    assert answer.status_code == 400
    assert "binData" in answer.json["detail"]


def test_a_form_may_be_as_large_as_a_body_and_no_larger(serve: Any) -> None:
    client = serve(ECHO, "echo", max_body=1_000_000)
    part = b'--b\r\nContent-Disposition: form-data; name="strData"\r\n\r\n%b\r\n--b--\r\n'
    for size, status in ((800_000, 200), (1_000_000, 413)):
        answer = client.post("/echo", data=part % (b"x" * size), content_type="multipart/form-data; boundary=b")
        assert answer.status_code == status


def test_a_plain_text_that_is_json_is_taken_as_json(serve: Any) -> None:
    client = serve(ECHO, "echo")
    for body in (b'{"data": [1]}', b" [1, 2]", b'"{\\"data\\": [1]}"'):
        answer = client.post("/echo", data=body, content_type="text/plain; charset=utf-8")
        as_json = client.post("/echo", data=body, content_type="application/json")
        assert (answer.status_code, answer.data) == (200, as_json.data)
    for body in (b"1", b"a=1", b""):
        assert client.post("/echo", data=body, content_type="text/plain").status_code == 415
    packed = client.post("/echo", data=b"{}", content_type="text/plain", headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415


def test_other_media_types_stay_415(serve: Any) -> None:
    answer = serve(ECHO, "echo").post("/echo", data=PNG, content_type="image/png")
    assert answer.status_code == 415
    assert "application/json or multipart/form-data (a file as its field binData)" in answer.json["detail"]
