"""A project with one model and the fakes of its unit tests."""

from tests.unit.commands.conftest import engine, model, reporter, workspace

__all__ = ["engine", "model", "reporter", "workspace"]
