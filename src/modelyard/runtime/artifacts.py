"""Incremental builds by the S2I contract: what save-artifacts of the previous image streamed is used again.

It lies beside the application source, and it is uv's cache: https://docs.astral.sh/uv/concepts/cache/
"""

import shutil
from collections.abc import Mapping
from pathlib import Path


def restore_cache(source: Path, environ: Mapping[str, str]) -> bool:
    """Put uv's cache back where it was, where there is one; tell whether there was.

    It is moved, and what is installed of it links to it, so an image has nothing of it twice.
    """
    artifacts = source.parent / "artifacts"
    cache = Path(environ.get("UV_CACHE_DIR") or Path(environ.get("HOME") or "/root", ".cache", "uv"))
    saved = artifacts / cache.name
    if not saved.is_dir():
        return False
    shutil.rmtree(cache, ignore_errors=True)
    cache.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(str(saved), str(cache))
    shutil.rmtree(artifacts, ignore_errors=True)
    return True
