import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from common_utils.download import DownloadError, download

CONTENT = b"0123456789" * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: 100_000 if self.path == "/cut-off" else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[HTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_gets_its_name_when_it_is_whole(server, tmp_path, capsys):
    path = download(f"{server.url}/file.bin", tmp_path / "new" / "file", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert "file.bin [##############################] 0.2 MB of 0.2 MB" in capsys.readouterr().err


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    download(f"{server.url}/file", tmp_path / "file", sha256=SHA256)
    assert server.requests == []


def test_a_file_that_is_there_but_wrong_is_replaced(server, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    download(f"{server.url}/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "sha256", "message"),
    [
        ("/file", "0" * 64, f"sha256 {SHA256}, expected 0000"),
        ("/cut-off", SHA256, f"expected {SHA256}: cut off, or not the file"),
        ("/missing", SHA256, "/missing: Not Found"),
    ],
)
def test_a_file_that_cannot_be_had_leaves_the_old_one(server, tmp_path, path, sha256, message):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(DownloadError, match=message):
        download(server.url + path, tmp_path / "file", sha256=sha256)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]


def test_nobody_listening_is_an_error_that_names_the_address(server, tmp_path):
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:1/file: .*refused"):
        download("http://127.0.0.1:1/file", tmp_path / "file", sha256=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request._opener", None)  # it holds the proxies of the first request
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    download("http://files.invalid/file", tmp_path / "file", sha256=SHA256)
    assert server.requests == ["http://files.invalid/file"]
