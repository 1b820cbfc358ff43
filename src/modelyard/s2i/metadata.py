"""Labels that a build writes itself: /tmp/.s2i/image_metadata.json, `{"labels": [{"name": "value"}, ...]}`."""

import json

from modelyard.engines.docker.workshop import Workshop
from modelyard.errors import BuildError

METADATA = "/tmp/.s2i/image_metadata.json"
# Upstream refuses more, and so do clusters that keep labels with an image's record.
_MOST = 10240


def read_metadata(workshop: Workshop) -> dict[str, str]:
    """The labels that assemble left; raise BuildError for a file that is none. They come before all others."""
    content = workshop.read_file(METADATA)
    if content is None:
        return {}
    try:
        labels = {name: value for item in json.loads(content)["labels"] for name, value in item.items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _explain(f"is no list of labels ({error})") from None
    for name, value in labels.items():
        if not isinstance(value, str):
            raise _explain(f"the label {name!r} is {value!r}, which is no text")
    if sum(len(name) + len(value) for name, value in labels.items()) > _MOST:
        raise _explain(f"its labels are longer than {_MOST} characters")
    return labels


def _explain(what: str) -> BuildError:
    hint = 'let assemble write {"labels": [{"name": "value"}]}, or not write it'
    return BuildError(f"{METADATA}, which assemble wrote: {what}", hint=hint)
