"""Where pictures come from and results go to: a folder, or a bucket of any S3."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from dogs_vs_cats.common_utils.settings import refuse_keys


class MissingError(Exception):
    """There is no such object."""


class BucketError(ValueError):
    """The bucket can't be used at all: none of that name, or no right to it."""


class Bucket(Protocol):
    """Objects by their keys."""

    def size(self, key: str) -> int:
        """Return the size of an object in bytes; raise MissingError where there is none."""

    def fetch(self, key: str, path: Path) -> None:
        """Write an object to a file; raise MissingError where there is none."""

    def store(self, path: Path, key: str) -> str:
        """Put a file there, and return where it is."""


class FolderBucket:
    """A folder that stands for a bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def size(self, key: str) -> int:
        """Return the size of a file."""
        try:
            return (self.folder / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError(key) from None

    def fetch(self, key: str, path: Path) -> None:
        """Copy a file."""
        try:
            shutil.copyfile(self.folder / key, path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingError(key) from None

    def store(self, path: Path, key: str) -> str:
        """Copy a file there; it is whole or not there."""
        target = self.folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            shutil.copyfile(path, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return str(target)


class S3Bucket:
    """A bucket; who may use it is found by the SDK's own chain."""

    def __init__(self, name: str, *, region: str | None = None, endpoint_url: str | None = None) -> None:
        import boto3
        from botocore.config import Config

        self.name = name
        config = Config(max_pool_connections=32, retries={"max_attempts": 5, "mode": "standard"})
        self._client = boto3.client("s3", region_name=region, endpoint_url=endpoint_url, config=config)
        self._check()

    def _check(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.head_bucket(Bucket=self.name)
        except (ClientError, BotoCoreError) as error:
            status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode")
            reasons = {404: "no such bucket", 403: "these credentials have no right to it"}
            raise BucketError(f"bucket {self.name!r} (aws.bucket_name): {reasons.get(status, error)}") from None

    def size(self, key: str) -> int:
        """Return the size of an object."""
        with _missing(key):
            return int(self._client.head_object(Bucket=self.name, Key=key)["ContentLength"])

    def fetch(self, key: str, path: Path) -> None:
        """Download an object; boto3 checks what arrives against S3's own checksum where S3 has one."""
        with _missing(key):
            self._client.download_file(self.name, key, str(path))

    def store(self, path: Path, key: str) -> str:
        """Upload a file."""
        self._client.upload_file(str(path), self.name, key)
        return f"s3://{self.name}/{key}"


class _missing:
    """Turns S3's 404 into MissingError."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        code = getattr(error, "response", {}).get("Error", {}).get("Code") if error else None
        if code in ("404", "NoSuchKey"):
            raise MissingError(self.key) from None


def open_bucket(aws: Mapping[str, Any], *, folder: Path) -> Bucket:
    """Return the bucket that the configuration names, else the folder that stands for one."""
    refuse_keys(aws)
    name = aws.get("bucket_name")
    if not name:
        return FolderBucket(folder)
    region, endpoint = aws.get("aws_default_region") or None, aws.get("endpoint_url") or None
    return S3Bucket(str(name), region=region, endpoint_url=endpoint)
