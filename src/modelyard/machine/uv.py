"""The uv of this machine."""

import os
from collections.abc import Mapping


def find_uv(environ: Mapping[str, str]) -> str:
    """The uv that makes environments: $UV, else the one that modelyard was installed with."""
    if environ.get("UV"):
        return environ["UV"]
    import uv  # loads on use: a build that changes no environment needs none

    return os.fspath(uv.find_uv_bin())
