"""`--inject`: files that only assemble sees. Afterwards they are emptied, so that no image has their content."""

import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelyard.engines.docker.workshop import Workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import BuildError, InputError
from modelyard.s2i.items import split_items


@dataclass(frozen=True)
class Injections:
    """Folders of this machine and where assemble finds what is in them."""

    folders: tuple[tuple[Path, str], ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str], *, directory: Path, workdir: str) -> "Injections":
        """Read `FOLDER[:TARGET]` items; raise InputError for what is none.

        FOLDER is relative to `directory`, TARGET to the image's `workdir`, which is where files without one go.
        """
        return cls(tuple(_parse(item, directory, workdir) for item in split_items(texts)))


@contextmanager
def inject(workshop: Workshop, injections: Injections, uid: int, user: str, on_output: OnOutput) -> Iterator[None]:
    """Copy the files in; in the end let `user` empty each of them, as who assembles may not be allowed to remove it."""
    injected = [path for source, target in injections.folders for path in workshop.bring({target: source}, uid=uid)]
    try:
        yield
    finally:
        if injected:
            script = 'for path; do if [ -e "$path" ]; then : > "$path" || exit 1; fi; done'
            command = ["sh", "-c", script, "empty", *injected]
            code, _ = workshop.execute(command, user=user, environment={}, on_output=on_output)
            if code:
                raise BuildError("injected files could not be emptied, so no image was made", hint="check --inject")


def _parse(text: str, directory: Path, workdir: str) -> tuple[Path, str]:
    source, target = (text.rpartition(":")[0], text.rpartition(":")[2]) if ":" in text else (text, "")
    if not source:
        raise InputError(f"--inject {text!r} is not FOLDER[:TARGET]", hint="for example -i ./secrets:/opt/secrets")
    if not (directory / source).is_dir():
        raise InputError(f"--inject {text!r}: {source} is no folder", hint="name a folder of this machine")
    return (directory / source).resolve(), posixpath.normpath(posixpath.join("/", workdir, target))
