"""Names that Kubernetes takes, made of those that people give."""

import re
from collections.abc import Iterable
from hashlib import sha256

from modelyard.errors import InputError

MOST = 52
"""Characters of an object's name: a CronJob's limit, so that what is derived from it (`-train-0`) has 63 at most."""
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def as_label(name: str, *, most: int = MOST) -> str:
    """Make an RFC 1123 label that begins with a letter, as Services want it; a long one ends with its digest.

    >>> as_label("finance_income_prediction/randomForest"), as_label("3D Net")
    ('finance-income-prediction-randomforest', 'model-3d-net')
    >>> as_label("a" * 80)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0f45e858'
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not label[:1].isalpha():
        label = f"model-{label}".rstrip("-")
    if len(label) <= most:
        return label
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{label[: most - len(digest) - 1].rstrip('-')}-{digest}"


def check_label(name: str, *, what: str) -> str:
    """Return `name`; raise InputError where it is no label, with the one that would be."""
    if not _LABEL.fullmatch(name) or len(name) > MOST:
        raise InputError(
            f"{what}: {name!r} is no name for a Kubernetes object",
            hint=f"lower-case letters, digits and '-', a letter first, {MOST} at most: {as_label(name)}",
        )
    return name


def name_each(names: Iterable[str]) -> dict[str, str]:
    """The label of each name; raise InputError that names both where two would meet."""
    labels: dict[str, str] = {}
    for name in names:
        label = as_label(name)
        other = next((one for one, its in labels.items() if its == label and one != name), None)
        if other is not None:
            raise InputError(
                f"{other} and {name} would both be called {label!r} in the cluster",
                hint="give one of them another CONTAINER_NAME in its Makefile, or render one at a time with --name",
            )
        labels[name] = label
    return labels
