"""The small workspaces of its unit tests."""

from tests.unit.codegen.conftest import generate_from, read, two_models

__all__ = ["generate_from", "read", "two_models"]
