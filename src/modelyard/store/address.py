"""Where a file lies: `s3://bucket/key`, or a path of this machine."""

import re
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import InputError

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A file, or with a `/` at its end a folder. `bucket` is None for a path, and `key` then the absolute path."""

    key: str
    bucket: str | None = None

    @property
    def is_folder(self) -> bool:
        """Tell whether it names what lies below it, and not one file."""
        return not self.key or self.key.endswith("/")

    @property
    def name(self) -> str:
        """The last part of a file's name, or of a folder's."""
        return self.key.rstrip("/").rpartition("/")[2]

    @property
    def path(self) -> Path:
        """The path; only for an address without a bucket."""
        assert self.bucket is None
        return Path(self.key)

    def below(self, name: str) -> "Address":
        """The address of `name` in this folder."""
        separator = "" if self.is_folder else "/"
        return Address(key=f"{self.key}{separator}{name}", bucket=self.bucket)

    def __str__(self) -> str:
        return self.key if self.bucket is None else f"s3://{self.bucket}/{self.key}"


def is_remote(text: str) -> bool:
    """Tell whether a text is the address of another machine, and no path.

    >>> is_remote("s3://models/rf.json"), is_remote("models/rf.json")
    (True, False)
    """
    return _SCHEME.match(text) is not None


def parse_address(text: str, *, base: Path | None = None) -> Address:
    """Parse what a person typed; a relative path starts at `base`, else at the current folder.

    >>> parse_address("s3://models/income/rf.json")
    Address(key='income/rf.json', bucket='models')
    >>> str(parse_address("/data/models/", base=None))
    '/data/models/'
    """
    match = _SCHEME.match(text)
    if match is None and text.lower().startswith("s3:"):
        raise InputError(f"{text!r} has no '//' after s3:", hint="use s3://bucket/key; ./ before it makes it a path")
    if match is None:
        return _parse_path(text, base or Path.cwd())
    if match["scheme"].lower() != "s3":
        raise InputError(
            f"{text!r}: no store for {match['scheme']}://", hint="use s3://bucket/key, or the path of a file or folder"
        )
    bucket, _, key = match["rest"].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"{text!r}: {bucket!r} is no name of a bucket", hint="use s3://bucket/key")
    if key.startswith("/") or "\0" in key or ".." in key.split("/"):
        raise InputError(f"{text!r}: {key!r} is no key", hint="use s3://bucket/key, with no '..' and one '/' at a time")
    return Address(key=key, bucket=bucket)


def _parse_path(text: str, base: Path) -> Address:
    if not text or "\0" in text:
        raise InputError(f"{text!r} is no path", hint="name a file or folder, or use s3://bucket/key")
    path = (base / Path(text).expanduser()).absolute()
    is_folder = text.endswith("/") or path.is_dir()
    return Address(key=f"{str(path).rstrip('/')}/" if is_folder else str(path))
