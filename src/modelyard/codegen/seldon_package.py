"""What `modelyard seldon init-package` writes: a class for Seldon, and the Dockerfile that serves it."""

from collections.abc import Iterator
from pathlib import Path

from modelyard.codegen.render import render
from modelyard.errors import InputError

FILES = {
    "seldon.Dockerfile": "seldon.Dockerfile",
    "seldon_model.py": "seldon_model.py",
    "preprocessing.py": "preprocessing.py",
    "requirements.txt": "requirements.txt",
    ".s2i/environment": "environment",
}
"""Each, and the template it is made of; the last is for `modelyard s2i build`, which needs no Dockerfile."""


def write_package(folder: Path, *, force: bool = False) -> Iterator[tuple[Path, bool]]:
    """Write the files into a folder that may hold others; yield each, and whether it was written.

    One that is there already is kept, unless `force`. Raises InputError where a folder is in a file's place.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is no folder", hint="name another")
    for name in FILES:
        if (folder / name).is_dir():
            raise InputError(f"{folder / name}: is a folder", hint="move it away")
    folder.mkdir(parents=True, exist_ok=True)
    for name, template in FILES.items():
        path = folder / name
        writes = force or not path.exists()
        if writes:
            path.parent.mkdir(exist_ok=True)
            path.write_text(render(f"seldon/{template}"), encoding="utf-8")
        yield path, writes
