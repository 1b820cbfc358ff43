"""What the size of an image is made of: its layers, and the packages that its environments hold."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import basename, dirname, join, normpath

NO_PACKAGE = "(no package)"


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """A layer, or of the embedded engine a folder, and its bytes."""

    title: str
    size: int


@dataclass(frozen=True, kw_only=True)
class PackageSize:
    """An installed distribution, or the files of an environment that no distribution has, and its bytes."""

    environment: str
    name: str
    version: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Bill:
    """The bytes of an image, and what they are spent on, the largest first."""

    size: int
    layers: tuple[LayerSize, ...]
    packages: tuple[PackageSize, ...]


def is_record(path: str) -> bool:
    """Tell whether a file says which files a distribution has installed."""
    return path.endswith(".dist-info/RECORD")


def bill_packages(sizes: Mapping[str, int], records: Mapping[str, str]) -> tuple[PackageSize, ...]:
    """The packages of environments, the largest first.

    Both are by path below the folder of environments, `default/lib/python3.11/…`: the bytes of every file, and the
    text of every RECORD.
    """
    owners = {path: record for record, text in records.items() for path in _files_of(record, text)}
    totals: Counter[tuple[str, str, str]] = Counter()
    for path, size in sizes.items():
        record = owners.get(path) or owners.get(_source_of(path), "")
        totals[_describe(path, record)] += size
    found = (PackageSize(environment=e, name=n, version=v, size=size) for (e, n, v), size in totals.items() if size)
    return tuple(sorted(found, key=lambda item: (-item.size, item.environment, item.name)))


def _files_of(record: str, text: str) -> Iterator[str]:
    """The files that a RECORD lists, relative to the folder that its own is in (PEP 376)."""
    import csv  # loads on use: every engine knows what a bill is, few commands read one

    folder = dirname(dirname(record))
    return (normpath(join(folder, row[0])) for row in csv.reader(text.splitlines()) if row)


def _source_of(path: str) -> str:
    """The module that a compiled file is of: installers compile without a word in RECORD."""
    return join(dirname(dirname(path)), f"{basename(path).partition('.')[0]}.py")


def _describe(path: str, record: str) -> tuple[str, str, str]:
    name, _, version = basename(dirname(record)).removesuffix(".dist-info").partition("-")
    return path.partition("/")[0], name.replace("_", "-") or NO_PACKAGE, version
