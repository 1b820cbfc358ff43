"""Model binaries and data sets that live in a store: `MODEL=s3://bucket/key` and `dataSource=s3://bucket/folder/`."""

from pathlib import Path, PurePosixPath

from modelyard.commands.manifest import parse_manifest, read_manifest
from modelyard.commands.reporter import Reporter
from modelyard.errors import InputError, WorkspaceError
from modelyard.store.address import parse_address
from modelyard.store.progress import as_lines
from modelyard.store.transfer import fetch, fetch_all, open_store, push

MANIFEST_SUFFIX = ".json"


def check_target(url: str) -> None:
    """Raise InputError for what is no address, StoreError where it is clear that nothing can be pushed there."""
    address = parse_address(url)
    open_store(address).check_writable(address.key)


def pull_model(url: str, folder: Path, reporter: Reporter) -> str:
    """Get a model binary and its manifest into `folder` and return the model's name, the last part of `url`.

    A model at `s3://bucket/income/rf` is its manifest `rf.json` and, beside it, the binary that the manifest names.
    The binary comes first and is checked against the manifest's sha256, so a model in `folder` is always whole.
    """
    name = model_name_of(url)
    folder.mkdir(exist_ok=True)
    with reporter.step(f"getting {url}") as step:
        pulled = folder / f".{name}{MANIFEST_SUFFIX}.pulled"
        try:
            manifest = parse_manifest(fetch(_manifest_of(url), pulled))
            binary = PurePosixPath(manifest["file"]).name
            fetch(_beside(url, binary), folder / binary, sha256=manifest["sha256"], progress=as_lines(step.output))
            pulled.replace(folder / f"{name}{MANIFEST_SUFFIX}")
        finally:
            pulled.unlink(missing_ok=True)
        step.done(f"got {url} as {name}")
    return name


def push_model(folder: Path, name: str, url: str, reporter: Reporter) -> None:
    """Put a model binary and, last, its manifest at `url`."""
    manifest = read_manifest(folder, name)
    if manifest is None:
        raise WorkspaceError(f"{folder}: has no model {name} to push", hint="train it first: make train")
    with reporter.step(f"pushing {name} to {url}") as step:
        push(folder / manifest["file"], _beside(url, manifest["file"]), progress=as_lines(step.output))
        push(folder / f"{name}{MANIFEST_SUFFIX}", _manifest_of(url))
        step.done(f"{name} is at {url}")


def pull_data(url: str, folder: Path, reporter: Reporter) -> list[Path]:
    """Get one file, or every file below a folder, into a project's data folder."""
    with reporter.step(f"getting {url}") as step:
        paths = fetch_all(url, folder, progress=as_lines(step.output))
        step.done(f"got {len(paths)} files from {url}")
    return paths


def model_name_of(url: str) -> str:
    name = PurePosixPath(url).name
    if url.endswith("/") or not name:
        raise InputError(f"MODEL={url} names a folder", hint="name a model in it: MODEL=s3://bucket/folder/my_model")
    return name.removesuffix(MANIFEST_SUFFIX)


def _manifest_of(url: str) -> str:
    return url.removesuffix(MANIFEST_SUFFIX) + MANIFEST_SUFFIX


def _beside(url: str, file: str) -> str:
    return f"{url.rpartition('/')[0]}/{file}"
