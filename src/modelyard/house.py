"""The house that a workspace is made of: builders/, common_utils/, utils/, kubeml/, build.sh, projects/recipes.mk."""

from pathlib import Path


def house_root() -> Path:
    """Where the tool's own copy is: beside the package in a wheel, the repository's root in an editable install."""
    packaged = Path(__file__).with_name("house")
    return packaged if packaged.is_dir() else Path(__file__).parents[2]
