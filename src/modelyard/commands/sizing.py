"""Build an image only if it is small enough, and say what the size is made of where it is not."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

from modelyard.commands.reporter import OnOutput
from modelyard.context.build_context import BuildContext
from modelyard.engines.parts import require_builder, require_store
from modelyard.engines.protocols import Engine, Image, ImageStore
from modelyard.engines.reference import normalise_tag
from modelyard.errors import BuildError
from modelyard.images.bill import Bill

_LARGEST = 5


def build_within(most: int, context: BuildContext, *, tag: str, engine: Engine, on_output: OnOutput) -> Image:
    """Build an image of at most `most` bytes; raise BuildError with the largest parts of a larger one.

    It is built under a tag of its own first, so that `tag` goes on naming what it named where the image is too large.
    """
    builder, store = require_builder(engine), require_store(engine)
    scratch = f"modelyard-unmeasured:{secrets.token_hex(6)}"
    image = builder.build(context, tag=scratch, on_output=on_output)
    try:
        check_size(image, scratch, most, store, tag=tag)
        builder.build(context, tag=tag)
    finally:
        store.remove(scratch)
    return replace(store.inspect(tag), reused=image.reused)


def check_size(image: Image, reference: str, most: int | None, store: ImageStore, *, tag: str) -> None:
    """Raise BuildError with the largest parts of an image that is larger than it may be."""
    if most is not None and image.size > most:
        raise _too_large(image, store.measure(reference), most=most, tag=tag)


def _too_large(image: Image, bill: Bill, *, most: int, tag: str) -> BuildError:
    what = f"the image of {image.name} ({image.kind}) has {_show(image.size)}, more than the {_show(most)} it may have"
    named = "has been this image before" if normalise_tag(tag) in image.tags else "does not name this image"
    return BuildError(
        "\n  ".join([f"{what}. Its largest parts:", *_largest(bill)]),
        hint=f"the tag {tag} {named}; ask for less in the requirements, or allow more: --max-size",
    )


def _largest(bill: Bill) -> Iterator[str]:
    yield from (f"{_show(item.size):>9}  {item.title[:80]}" for item in bill.layers[:_LARGEST])
    for item in bill.packages[:_LARGEST]:
        yield f"{_show(item.size):>9}  {item.name} {item.version} in the environment {item.environment}"


def _show(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
