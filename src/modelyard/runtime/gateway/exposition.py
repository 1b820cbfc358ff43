"""The parts of Prometheus' text form.

https://prometheus.io/docs/instrumenting/exposition_formats
"""

from collections.abc import Iterator


def describe(name: str, kind: str, text: str) -> Iterator[str]:
    """The lines above a metric's values."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def label(**labels: str) -> str:
    """The labels of a value.

    >>> label(route='a"b')
    '{route="a\\\\"b"}'
    """
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
