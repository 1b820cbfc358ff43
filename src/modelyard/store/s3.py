"""A store that is a bucket of any S3-compatible server. The only module that imports boto3.

Endpoint, region and credentials are found by the SDK's own chain: AWS_* variables, AWS_ENDPOINT_URL, profiles in
~/.aws, roles of the machine. https://docs.aws.amazon.com/boto3/latest/guide/configuration.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import StoreError
from modelyard.store.protocols import CHUNK, ChangedFileError, Entry, InterruptedTransferError, OnProgress

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
    )
    from botocore.exceptions import ConnectionError as BotoConnectionError
    from botocore.exceptions import HTTPClientError as BotoHTTPClientError
except ImportError:
    raise StoreError(
        "s3:// needs the package boto3, which is not installed", hint="pip install 'modelyard[s3]'"
    ) from None

DIGEST = "sha256"
_REFUSED = frozenset({"401", "403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_CHANGED = frozenset({"412", "PreconditionFailed"})
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound)


class S3Store:
    """The files of one bucket. The sha256 of what is written is kept as the object's metadata."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        # Servers other than Amazon's don't all know the SDK's new checksums; sizes and sha256 are checked anyway.
        config = Config(
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 4},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self._explained(""):
            # A session of its own: the default one would keep the credentials it has found first.
            self._client: Any = boto3.session.Session().client("s3", config=config)

    def check_writable(self, key: str) -> None:
        """See Store: only a transfer tells what a server allows."""

    def stat(self, key: str) -> Entry:
        """Look one object up."""
        with self._explained(key):
            found = self._client.head_object(Bucket=self.bucket, Key=key)
        return Entry(
            key=key,
            size=found["ContentLength"],
            modified=found["LastModified"].timestamp(),
            version=found["ETag"],
            sha256=found.get("Metadata", {}).get(DIGEST),
        )

    def entries(self, prefix: str) -> Iterator[Entry]:
        """List the objects below a prefix; the empty ones that stand for folders are passed over."""
        with self._explained(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    if not found["Key"].endswith("/"):
                        modified = found["LastModified"].timestamp()
                        yield Entry(key=found["Key"], size=found["Size"], modified=modified, version=found["ETag"])

    def read(self, entry: Entry, *, start: int) -> Iterator[bytes]:
        """Yield the content from byte `start` on; only of the version that was looked up."""
        if start >= entry.size:
            return
        with self._explained(entry.key):
            found = self._client.get_object(
                Bucket=self.bucket, Key=entry.key, Range=f"bytes={start}-", IfMatch=entry.version
            )
        done, body = start, found["Body"]
        try:
            while chunk := body.read(CHUNK):
                done += len(chunk)
                yield chunk
        except (BotoCoreError, OSError) as error:
            raise self._interrupted(entry, done, error) from error
        finally:
            body.close()
        if done < entry.size:
            raise self._interrupted(entry, done, None)

    def write(self, key: str, source: Path, *, sha256: str, on_progress: OnProgress) -> None:
        """Upload a file, a large one in parts; it is there when the last part is."""
        from boto3.exceptions import S3UploadFailedError

        size, done = source.stat().st_size, 0

        def count(sent: int) -> None:
            nonlocal done
            done += sent
            on_progress(min(done, size), size)

        with self._explained(key):
            try:
                self._client.upload_file(
                    str(source), self.bucket, key, ExtraArgs={"Metadata": {DIGEST: sha256}}, Callback=count
                )
            except S3UploadFailedError as error:  # wraps what really happened
                if isinstance(error.__context__, ClientError):
                    raise error.__context__ from None
                raise StoreError(f"{self._url(key)}: the upload failed ({error})", hint="try again") from error
            stored = self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        if stored != size:
            raise StoreError(f"{self._url(key)}: {stored} bytes arrived of {size}", hint="push the file again")

    def remove(self, key: str) -> None:
        """Remove one object; S3 itself says nothing where there is none."""
        self.stat(key)
        with self._explained(key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Turn what the SDK raises into errors that say what to do."""
        try:
            yield
        except _NO_CREDENTIALS as error:
            raise StoreError(
                f"{self._url(key)}: no credentials ({error})",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            ) from error
        except ClientError as error:
            raise self._answered(key, error) from error
        except (BotoConnectionError, BotoHTTPClientError) as error:
            raise StoreError(
                f"{self._url(key)}: can't reach the server ({error})",
                hint="check the network, and AWS_ENDPOINT_URL where the server is not Amazon's",
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"{self._url(key)}: {error}", hint="check the AWS_* settings") from error

    def _answered(self, key: str, error: ClientError) -> StoreError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _REFUSED:
            return StoreError(
                f"{self._url(key)}: the server refused the credentials ({code})",
                hint="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_PROFILE, and their rights to the bucket",
            )
        if code == "NoSuchBucket" or (code in _MISSING and not self._has_bucket()):
            return StoreError(
                f"s3://{self.bucket}: no such bucket", hint="check the name and AWS_ENDPOINT_URL, or make the bucket"
            )
        if code in _MISSING:
            folder = key.rpartition("/")[0]
            return StoreError(
                f"{self._url(key)}: no such object", hint=f"see what there is: modelyard store ls {self._url(folder)}"
            )
        if code in _CHANGED:
            return ChangedFileError(f"{self._url(key)}: replaced while it was read", hint="try again")
        message = error.response.get("Error", {}).get("Message", "")
        return StoreError(f"{self._url(key)}: the server answered {code} {message}".rstrip(), hint="try again later")

    def _has_bucket(self) -> bool:
        """Tell whether the bucket is there; HEAD answers 404 for a missing key and a missing bucket alike."""
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            return str(error.response.get("Error", {}).get("Code", "")) not in (*_MISSING, "NoSuchBucket")
        return True

    def _interrupted(self, entry: Entry, done: int, error: Exception | None) -> InterruptedTransferError:
        reason = f" ({error})" if error else ""
        return InterruptedTransferError(
            f"{self._url(entry.key)}: cut off after {done:,} of {entry.size:,} bytes{reason}",
            hint="run it again: it goes on from there",
        )

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"
