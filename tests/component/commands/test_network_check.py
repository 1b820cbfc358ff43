"""The doctor's look at the network: real uv against indexes on this machine, good ones and bad ones."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from modelyard.commands.doctor import Finding
from modelyard.commands.network_check import examine_network
from modelyard.network import NetworkProfile, trace_network_profile
from tests.component.requirements.wheels import make_wheel


@contextmanager
def index(status: int) -> Iterator[str]:
    """An index that answers everything with a status."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://me:secret@127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_NO_CONFIG": "1"}


def examine(environ: dict[str, str], **variables: str) -> list[Finding]:
    return list(examine_network(NetworkProfile(variables), environ))


@pytest.mark.parametrize("status", [200, 404])
def test_an_index_that_answers_is_well_whatever_it_has(environ, status):
    with index(status) as url:
        (found,) = examine(environ, UV_DEFAULT_INDEX=url)
    assert (found.state, found.what.endswith("answers")) == ("ok", True)
    assert "secret" not in found.what and "***@127.0.0.1" in found.what


@pytest.mark.parametrize("status", [401, 503])
def test_an_index_that_refuses_is_named_with_what_uv_says(environ, status):
    with index(status) as url:
        (found,) = examine(environ, UV_DEFAULT_INDEX=url)
    assert (found.state, str(status) in found.what) == ("missing", True)
    assert "secret" not in found.what
    assert "pip config set" in str(found.fix)


def test_an_index_and_a_proxy_that_nobody_is_behind(environ):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened on
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        proxy, at = examine(environ, UV_DEFAULT_INDEX="http://index.invalid/simple", HTTP_PROXY=f"http://u:pw@{nobody}")
    assert (proxy.state, at.state) == ("missing", "missing")
    assert f"proxy: http://***@{nobody} (HTTP_PROXY): " in proxy.what
    assert "HTTP_PROXY" in str(proxy.fix)


def test_wheelhouses_are_looked_into(environ, tmp_path):
    make_wheel(tmp_path, "demolib", "1.0")
    (tmp_path / "empty").mkdir()
    links = f"{tmp_path},{tmp_path}/empty,{tmp_path}/gone,https://x.invalid/links"
    found = examine(environ, UV_FIND_LINKS=links, UV_NO_INDEX="1")
    assert [one.state for one in found] == ["ok", "warning", "missing", "ok", "ok"]
    assert found[0].what.endswith(": 1 files to install from")
    assert found[2].what == f"wheelhouse: {tmp_path}/gone (UV_FIND_LINKS): no such folder"
    assert found[4].what == "index: none is asked (UV_NO_INDEX)"


def test_a_bundle_is_read(environ, tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    bad, gone, _ = examine(
        environ, SSL_CERT_FILE=str(tmp_path / "bad.pem"), PIP_CERT=str(tmp_path / "gone.pem"), UV_NO_INDEX="1"
    )
    assert (bad.state, gone.state) == ("missing", "missing")
    assert bad.what.startswith(f"CA bundle: {tmp_path}/bad.pem (SSL_CERT_FILE): ")
    assert "No such file" in gone.what


def test_a_folder_as_an_index_has_to_be_there(environ, tmp_path):
    (tmp_path / "simple").mkdir()
    found = examine(environ, UV_DEFAULT_INDEX=f"file://{tmp_path}/simple", UV_INDEX=f"file://{tmp_path}/gone")
    assert [one.state for one in found] == ["ok", "missing"]


def test_where_a_setting_comes_from_is_said(environ, tmp_path):
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[global]\nextra-index-url = https://x.invalid/simple\n[install]\nfind-links = /srv/wheels\ncert = /ca.pem\n"
    )
    profile = trace_network_profile({**environ, "PIP_CONFIG_FILE": str(settings), "PIP_INDEX_URL": "https://y.invalid"})
    assert profile.origin_of("UV_INDEX") == f"extra-index-url of {settings}"
    assert profile.origin_of("UV_FIND_LINKS") == f"find-links of {settings}"
    assert profile.origin_of("UV_DEFAULT_INDEX") == "PIP_INDEX_URL"
    assert profile.origin_of("SSL_CERT_FILE") == f"cert of {settings}"
    assert profile.origin_of("HTTPS_PROXY") == "HTTPS_PROXY"
