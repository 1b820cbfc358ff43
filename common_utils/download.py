"""Downloading a file whose digest is known beforehand. Standard library only."""

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.error import URLError
from urllib.request import urlopen

CHUNK = 1 << 16


class DownloadError(Exception):
    """The file could not be had, or is not the one that was expected."""


def download(url: str, path: Path | str, *, sha256: str, timeout: float = 10.0) -> Path:
    """Download `url` to `path` with a progress bar; a file that is there and right already is left alone.

    Proxies and CA files come from the environment (https_proxy, no_proxy, SSL_CERT_FILE), as urllib has it. The file
    gets its name only when it is whole and its digest right. `timeout` is for connecting and for each silence, seconds.
    Raises DownloadError.
    """
    path = Path(path)
    if path.is_file() and digest_of(path) == sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        found = _fetch(url, part, timeout=timeout)
        if found != sha256:
            raise DownloadError(f"{url}: sha256 {found}, expected {sha256}: cut off, or not the file that was expected")
        part.replace(path)
    except (URLError, OSError) as error:  # OSError: a reset connection, a time-out, a full disk
        raise DownloadError(f"{url}: {getattr(error, 'reason', error)}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def digest_of(path: Path | str) -> str:
    """Return the sha256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(url: str, part: Path, *, timeout: float) -> str:
    digest = hashlib.sha256()
    with urlopen(url, timeout=timeout) as response, part.open("wb") as file:
        bar = _ProgressBar(url.rpartition("/")[2], total=int(response.headers.get("Content-Length") or 0))
        for chunk in _chunks(response):
            file.write(chunk)
            digest.update(chunk)
            bar.advance(len(chunk))
        bar.finish()
    return digest.hexdigest()


def _chunks(response: BinaryIO) -> Iterator[bytes]:
    while chunk := response.read(CHUNK):
        yield chunk


class _ProgressBar:
    """One line on stderr: rewritten in a terminal, written every few seconds elsewhere (a log)."""

    def __init__(self, label: str, *, total: int) -> None:
        self.label, self.total, self.done = label, total, 0
        self.is_terminal = sys.stderr.isatty()
        self.pause = 0.1 if self.is_terminal else 5.0
        self.last = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self.last >= self.pause:
            self.last = time.monotonic()
            self._write("\r" if self.is_terminal else "\n")

    def finish(self) -> None:
        self._write("\n")

    def _write(self, end: str) -> None:
        megabytes = f"{self.done / 1e6:.1f} MB"
        if self.total:
            filled = min(30, 30 * self.done // self.total)
            megabytes = f"[{'#' * filled}{'.' * (30 - filled)}] {megabytes} of {self.total / 1e6:.1f} MB"
        print(f"{self.label} {megabytes}", end=end, file=sys.stderr, flush=True)
