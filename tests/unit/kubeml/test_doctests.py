"""The examples in docstrings are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["adapting", "events", "options", "shards", "signatures"])
def test_examples_are_true(name):
    result = doctest.testmod(importlib.import_module(f"kubeml.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
