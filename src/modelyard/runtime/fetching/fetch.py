"""Get a model, or all below a folder, from S3 into a folder: whole, checked, and under its name only then."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from modelyard.runtime.errors import InputError, ModelyardError
from modelyard.runtime.fetching.s3 import Bucket, Cut, FetchError, Found

_ATTEMPTS = 5
_CHUNK = 1 << 20


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Fetch what the first argument names into the folder that the second does; return the exit code."""
    try:
        if len(arguments) != 2:
            raise InputError("takes an address and a folder", hint="s3://bucket/folder/ /action/models")
        for path in fetch(arguments[0], Path(arguments[1]), environ):
            print(f"got {path}", flush=True)
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename or arguments[1]}: {error.strerror}", file=sys.stderr, flush=True)
        return 1
    return 0


def fetch(url: str, folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """Get `s3://bucket/folder/`, the file `s3://bucket/folder/file`, or the model of that name with its manifest."""
    name, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not name or not key:
        raise InputError(f"{url!r} is no model in S3", hint="write s3://bucket/folder/ or s3://bucket/folder/name")
    bucket = Bucket(name, environ)
    folder.mkdir(parents=True, exist_ok=True)
    if not key.endswith("/"):
        plain = None if key.endswith(".json") else bucket.find(key)
        return (
            [_fetch_file(bucket, plain, folder / PurePosixPath(key).name)]
            if plain
            else _fetch_model(bucket, key, folder)
        )
    found = [one for one in bucket.list(key) if not _is_hidden(one.key[len(key) :])]
    if not found:
        raise FetchError(f"{url}: there is nothing", hint="modelyard store ls shows what there is")
    return [_fetch_file(bucket, one, folder / _safe(one.key[len(key) :])) for one in found]


def _fetch_model(bucket: Bucket, key: str, folder: Path) -> list[Path]:
    """The binary first: a manifest that stands there names a file that is whole."""
    name = key if key.endswith(".json") else f"{key}.json"
    waiting = folder / f".{PurePosixPath(name).name}.pulled"
    _fetch_file(bucket, bucket.look(name), waiting)
    try:
        manifest = json.loads(waiting.read_bytes())
        binary, digest = PurePosixPath(str(manifest["file"])).name, str(manifest["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FetchError(
            f"s3://{bucket.name}/{name} is no manifest of a model", hint="modelyard train wrote one"
        ) from None
    beside = bucket.look(str(PurePosixPath(name).with_name(binary)))
    path = _fetch_file(bucket, beside, folder / binary, sha256=digest)
    target = folder / PurePosixPath(name).name
    waiting.replace(target)
    return [path, target]


def _fetch_file(bucket: Bucket, found: Found, target: Path, *, sha256: str | None = None) -> Path:
    """One file; a cut connection is taken up where it broke, with the same version of it only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    digest, done = hashlib.sha256(), 0
    with part.open("wb") as file:
        for attempt in range(_ATTEMPTS):
            try:
                for chunk in bucket.read(found, done, _CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                if done >= found.size:
                    break
                raise Cut(f"ended after {done} of {found.size} bytes")
            except Cut as error:
                if attempt == _ATTEMPTS - 1:
                    raise FetchError(
                        f"s3://{bucket.name}/{found.key}: {error}", hint="is the store in reach?"
                    ) from None
                time.sleep(2**attempt / 4)
    wanted = sha256 or found.sha256
    if done != found.size or (wanted and digest.hexdigest() != wanted):
        part.unlink()
        raise FetchError(
            f"s3://{bucket.name}/{found.key} is damaged: {done} bytes with {digest.hexdigest()}, "
            f"but it should have {found.size}{f' with {wanted}' if wanted else ''}",
            hint="put it there again: modelyard train --push",
        )
    part.replace(target)
    return target


def _is_hidden(key: str) -> bool:
    return not key or key.endswith("/") or any(part.startswith(".") for part in key.split("/"))


def _safe(key: str) -> str:
    """A path that stays below its folder: hidden parts, `..` among them, were left out before."""
    return key.lstrip("/")
