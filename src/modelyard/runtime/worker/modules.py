"""What a worker has imported: what a fork server imports before it forks the next one."""

from __future__ import annotations

import os
import sys

_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")


def list_modules() -> list[str]:
    """The modules of its environment and of Python itself that this process has imported, in order."""
    import sysconfig

    libraries = tuple(path + os.sep for path in {sysconfig.get_path(name) for name in _LIBRARIES})
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    return [name for name, file in files.items() if isinstance(file, str) and file.startswith(libraries)]
