"""Templates. The only module that imports jinja2; what is interpolated was checked or quoted before."""

import json
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")
SUFFIX = ".jinja"


def render(template: str, /, **values: object) -> str:
    """Render the template that is named for the file it produces, for example `all/predict.py`."""
    return _environment().get_template(f"{template}{SUFFIX}").render(values)


def quote_python(text: str) -> str:
    """Write a text as a Python string, in the double quotes that formatters prefer.

    >>> print(quote_python('say "hi"'))
    "say \\"hi\\""
    """
    return json.dumps(text, ensure_ascii=not text.isprintable())


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
