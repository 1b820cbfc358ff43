"""The command line, called in this process, as in its unit tests."""

from tests.unit.cli.conftest import engine, modelyard, workspace

__all__ = ["engine", "modelyard", "workspace"]
