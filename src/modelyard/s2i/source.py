"""The application source of an s2i build: a directory, file:// or a git URL with #ref, laid out below a folder."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from modelyard.context.ignore import IGNORE_FILE, read_ignore_rules
from modelyard.errors import InputError
from modelyard.s2i.config import BuildConfig

# Upstream's own order: a URL with a scheme, git's user@host:path, else a path.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^/].*")
_COMMIT = {"author": "%an <%ae>", "date": "%ad", "id": "%H", "message": "%s"}
LABEL = "io.openshift.s2i.build."


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the source is: a path of this machine, or what git clones; `ref` is a branch, tag or commit."""

    text: str
    path: Path | None
    url: str
    ref: str

    @property
    def location(self) -> str:
        """Where it is, seen from any folder of this machine."""
        if self.path is None:
            return self.url
        path = os.path.normpath(self.path)
        return f"file://{quote(path)}" if self.text.startswith("file://") else path

    @property
    def name(self) -> str:
        """What its user calls it in errors."""
        return self.url if self.path is None else os.path.normpath(self.path)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The source as fetched below `root`, which its user calls `name`; `labels` say which commit it is."""

    root: Path
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def parse_source(text: str, *, ref: str = "", directory: Path) -> Source:
    """Read the source argument; a relative path is one from `directory`.

    >>> parse_source("https://example.org/x.git#v1", directory=Path("/")).ref
    'v1'
    """
    location, _, fragment = text.partition("#")
    if location.startswith("file://"):
        path = Path(unquote(location.removeprefix("file://")))
        return Source(text=text, path=directory / path, url=location, ref=ref or fragment)
    if _SCHEME.match(location) or _SCP.fullmatch(location):
        return Source(text=text, path=None, url=location, ref=ref or fragment)
    # A folder may have '#' in its name.
    is_whole = (directory / text).is_dir()
    path = directory / (text if is_whole else location)
    return Source(text=text, path=path, url=str(path), ref=ref or ("" if is_whole else fragment))


def fetch_source(config: BuildConfig, folder: Path, *, directory: Path) -> Fetched:
    """Bring the source below `folder` as upload/src, without what `.s2iignore` and `--exclude` leave out.

    A git repository is cloned, so that what is built is a commit; with `--copy` its files are taken as they are.
    """
    source = parse_source(config.source, ref=config.ref, directory=directory)
    target = folder / "upload" / "src"
    labels = {f"{LABEL}source-location": source.location}
    if source.path is not None and not source.path.is_dir():
        raise InputError(f"{source.path}: no such source directory", hint="name a directory or a git URL")
    if source.path is not None and (config.copy or not is_repository(source.path)):
        if source.ref:
            raise InputError(
                f"{config.source}: --ref {source.ref} names a commit, but this is no git repository or is copied",
                hint="leave --ref or --copy out",
            )
        root = source.path
    else:
        root = folder / "clone"
        labels |= _clone(source, root, config)
    if config.context_dir:
        labels[f"{LABEL}source-context-dir"] = config.context_dir
        root = _context(root, config.context_dir)
    name = "/".join(filter(None, (source.name, config.context_dir.strip("/"))))
    _copy(root, target, config, name)
    return Fetched(root=target, name=name, labels=labels)


def is_repository(folder: Path) -> bool:
    """Whether git can clone a folder: it has a .git, or is a bare repository itself."""
    is_bare = (folder / "HEAD").is_file() and all((folder / name).is_dir() for name in ("objects", "refs"))
    return is_bare or (folder / ".git").exists()


def _clone(source: Source, target: Path, config: BuildConfig) -> dict[str, str]:
    url = str(source.path) if source.path is not None else source.url
    _git(target, ["clone", "--quiet", "--", url, str(target)], f"clone {source.text}")
    inside = ["-C", str(target)]
    if source.ref:
        checkout = [*inside, "checkout", "--quiet", source.ref, "--"]
        _git(target, checkout, f"check out {source.ref!r} of {source.text}")
    if not config.ignore_submodules and (target / ".gitmodules").exists():
        update = [*inside, "submodule", "--quiet", "update", "--init", "--recursive"]
        _git(target, update, f"get the submodules of {source.text}")
    log = [*inside, "log", "-1", f"--format={'%n'.join(_COMMIT.values())}"]
    lines = _git(target, log, f"read the commit of {source.text}")
    labels = {f"{LABEL}commit.{name}": line for name, line in zip(_COMMIT, lines.splitlines(), strict=False)}
    branch = _git(target, [*inside, "rev-parse", "--abbrev-ref", "HEAD"], f"read the branch of {source.text}").strip()
    return {**labels, f"{LABEL}commit.ref": source.ref or branch}


def _git(clone: Path, arguments: list[str], action: str) -> str:
    """Run git; what it says of the clone, which lies in a scratch folder, is told without that folder."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(f"git is not installed, but needed to {action}", hint="install git, or use --copy") from None
    if done.returncode:
        last = done.stderr.replace(f"{clone}/", "").replace(str(clone), "the clone").strip().splitlines()[-1:]
        said = last[0] if last else f"exit code {done.returncode}"
        raise InputError(f"git could not {action}: {said}", hint="check the URL and the ref")
    return done.stdout


def _context(root: Path, context_dir: str) -> Path:
    folder = (root / context_dir).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise InputError(f"--context-dir {context_dir!r} leaves the source", hint="name a folder inside it")
    if not folder.is_dir():
        raise InputError(f"--context-dir {context_dir!r}: no such folder in the source", hint="correct its name")
    return folder


def _copy(root: Path, target: Path, config: BuildConfig, name: str) -> None:
    rules = read_ignore_rules(root, name=f"{name}/{IGNORE_FILE}")
    try:
        excluded = re.compile(config.exclude) if config.exclude else None
    except re.error as error:
        raise InputError(f"--exclude {config.exclude!r} is no regular expression: {error}") from None
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(root.rglob("*")):
        inside = PurePosixPath(path.relative_to(root).as_posix())
        if rules.is_ignored(inside) or (excluded and excluded.search(str(inside))):
            continue
        place = target / inside
        if path.is_symlink():
            _copy_link(path, place, root, name=f"{name}/{inside}", keep=config.keep_symlinks)
        elif path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            # Whatever the source says, this copy can be written into, and removed.
            place.chmod(path.stat().st_mode & 0o7777 | 0o700)
        elif path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def _copy_link(path: Path, place: Path, root: Path, *, name: str, keep: bool) -> None:
    """A link inside the source stays one; one that leaves it is an error, unless links are kept as they are."""
    inside = path.resolve().is_relative_to(root.resolve())
    if not inside and not keep:
        raise InputError(
            f"{name}: a link that leaves the source (to {path.readlink()})",
            hint="copy the file into the source, list the link in .s2iignore, or keep links with --keep-symlinks",
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(path.readlink())
