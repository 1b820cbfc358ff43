"""Environment groups in an application source: models that can't share `default` have a folder for theirs."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

DEFAULT = "default"
# One folder a group, laid out as the root is for `default`: requirements.txt and, perhaps, .python-version.
GROUPS = PurePosixPath(".s2i/environments")


def find_environments(source: Path) -> Iterator[tuple[str, Path]]:
    """The environments that an application source needs, `default` first, each with the folder that describes it."""
    yield DEFAULT, source
    groups = source / GROUPS
    for folder in sorted(groups.iterdir()) if groups.is_dir() else ():
        if folder.is_dir():
            yield folder.name, folder


def name_requirements(name: str, default: str) -> str:
    """The requirements file of an environment as a person knows it, from that of `default`.

    >>> name_requirements("numpy-1.26.4", "projects/income/all/requirements.txt")
    'projects/income/all/environments/numpy-1.26.4.txt'
    """
    place = PurePosixPath(default)
    return default if name == DEFAULT else str(place.parent / "environments" / f"{name}{place.suffix}")
