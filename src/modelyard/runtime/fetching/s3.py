"""As much of S3 as reading takes: list, look, read, signed with version 4. The standard library alone.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from http.client import HTTPException, HTTPResponse
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from modelyard.runtime.errors import ModelyardError

_NOTHING = hashlib.sha256(b"").hexdigest()
_TIMEOUT = 60.0
_HINTS = {
    403: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from a secret (--models-secret) that may read it",
    404: "modelyard store ls shows what there is",
}


class FetchError(ModelyardError):
    """A store can't be reached, refused, or has no such file."""

    exit_code = 9

    def __init__(self, message: str, *, hint: str | None = None, code: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        """What the store answered."""


class Cut(Exception):
    """A connection broke, or the store asks to come again."""


@dataclass(frozen=True)
class Found:
    """An object of a bucket."""

    key: str
    size: int
    etag: str
    sha256: str | None = None


class Bucket:
    """A bucket, with the server and the credentials that the usual variables name."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self.name = name
        self._region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        amazon = f"https://{name}.s3.{self._region}.amazonaws.com"
        self._base = f"{endpoint.rstrip('/')}/{name}" if endpoint else amazon
        self._user = environ.get("AWS_ACCESS_KEY_ID")
        self._secret = environ.get("AWS_SECRET_ACCESS_KEY", "")
        self._token = environ.get("AWS_SESSION_TOKEN")
        self._context = ssl.create_default_context(cafile=environ.get("AWS_CA_BUNDLE") or None)

    def list(self, prefix: str) -> Iterator[Found]:
        """Every object below a prefix."""
        query = {"list-type": "2", "prefix": prefix}
        while True:
            with self._ask("GET", "", query) as answer:
                page = ElementTree.fromstring(answer.read())
            space = page.tag[: page.tag.index("}") + 1] if page.tag.startswith("{") else ""
            for one in page.iter(f"{space}Contents"):
                told = {child.tag[len(space) :]: child.text or "" for child in one}
                yield Found(told["Key"], int(told["Size"]), told.get("ETag", ""))
            token = page.findtext(f"{space}NextContinuationToken")
            if not token:
                return
            query = {**query, "continuation-token": token}

    def look(self, key: str) -> Found:
        """What there is of an object, without reading it."""
        with self._ask("HEAD", key) as answer:
            headers = answer.headers
            size = int(headers.get("Content-Length", "0"))
            return Found(key, size, headers.get("ETag", ""), headers.get("x-amz-meta-sha256"))

    def find(self, key: str) -> Found | None:
        """The same; None where there is none."""
        try:
            return self.look(key)
        except FetchError as error:
            if error.code == 404:
                return None
            raise

    def read(self, found: Found, offset: int, chunk: int) -> Iterator[bytes]:
        """The bytes of an object from `offset` on; raise Cut where the connection breaks."""
        if offset >= found.size > 0:
            return
        headers = {"Range": f"bytes={offset}-", "If-Match": found.etag} if offset and found.etag else {}
        try:
            with self._ask("GET", found.key, headers=headers) as answer:
                if offset and answer.status != 206:
                    raise Cut("the store can't go on where it stopped")
                while data := answer.read(chunk):
                    yield data
        except (HTTPException, OSError) as error:
            raise Cut(str(error) or type(error).__name__) from None

    def _ask(
        self, method: str, key: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> HTTPResponse:
        pairs = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted((query or {}).items())
        )
        url = f"{self._base}/{quote(key, safe='/-_.~')}{f'?{pairs}' if pairs else ''}"
        signed = self.sign(method, url, datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ"))  # noqa: UP017 (3.9)
        request = urllib.request.Request(url, method=method, headers={**(headers or {}), **signed})
        where = f"s3://{self.name}/{key or (query or {}).get('prefix', '')}"
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT, context=self._context)
            return answer
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (429, 500, 502, 503, 504):
                raise Cut(f"the store answers {error.code}") from None
            raise FetchError(
                f"{where}: the store answers {error.code}", hint=_HINTS.get(error.code), code=error.code
            ) from None
        except urllib.error.URLError as error:
            server = urlsplit(self._base).netloc
            raise FetchError(
                f"{where}: {server} can't be reached: {error.reason}", hint="is AWS_ENDPOINT_URL right?"
            ) from None

    def sign(self, method: str, url: str, now: str) -> dict[str, str]:
        """The headers of a request of the user, or none where nobody is named; `now` is as in 20260131T235959Z."""
        if not self._user:
            return {}
        parts = urlsplit(url)
        signed = {"host": parts.netloc, "x-amz-content-sha256": _NOTHING, "x-amz-date": now}
        if self._token:
            signed["x-amz-security-token"] = self._token
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = "\n".join([method, parts.path, parts.query, lines, names, _NOTHING])
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self._secret}".encode()
        for part in (now[:8], self._region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        credential = f"AWS4-HMAC-SHA256 Credential={self._user}/{scope}, SignedHeaders={names}, Signature={signature}"
        del signed["host"]
        return {**signed, "Authorization": credential}
