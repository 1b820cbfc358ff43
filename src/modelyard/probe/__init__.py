"""Static checks of model directories: what their files say and point at, without running any of it."""

from modelyard.probe.imports import ImportCheck
from modelyard.probe.instances import read_instances
from modelyard.probe.layout import Layout, layout_of_combined, layout_of_model
from modelyard.probe.model import (
    check_model,
    find_entries,
    probe_model,
    raise_findings,
    read_model_requirements,
    read_setup,
    where,
)

__all__ = [
    "ImportCheck",
    "Layout",
    "check_model",
    "find_entries",
    "layout_of_combined",
    "layout_of_model",
    "probe_model",
    "raise_findings",
    "read_instances",
    "read_model_requirements",
    "read_setup",
    "where",
]
