"""An image of a Dockerfile, made with no engine, tagged in the home's layout, and put where it is wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelyard.commands.attesting import attach_statements
from modelyard.commands.copying import holding_layout, open_layout, open_registry
from modelyard.commands.signing import check_signing, sign_image
from modelyard.engines.oci.address import parse_address
from modelyard.engines.oci.dockerfile_build import Order, build_dockerfile
from modelyard.engines.oci.places import Place, parse_place, put
from modelyard.engines.protocols import OnOutput, OnTransfer
from modelyard.errors import InputError
from modelyard.images.platforms import TargetPlatform, parse_platform
from modelyard.machine.home import explaining_disk_errors


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that is in the layout now; `sent` are the bytes of its push, None where there was none."""

    name: str
    digest: str
    sent: int | None = None


def build_image(
    order: Order,
    name: str,
    environ: Mapping[str, str],
    *,
    outputs: Sequence[str] = (),
    push: str | None = None,
    key: str | None = None,
    insecure: bool = False,
    on_output: OnOutput,
    on_transfer: OnTransfer,
) -> Built:
    """Build, tag as `name`, and put it to `outputs` and into a registry, there with its bills, signed with `key`.

    Raises InputError before anything is made.
    """
    check_name(name)
    if key is not None:
        check_signing(environ)
    places = [parse_place(each, order.folder) for each in outputs]
    wrong = next((text for text, place in zip(outputs, places, strict=True) if not isinstance(place, Place)), None)
    if wrong is not None:
        raise InputError(f"--output {wrong} is no file or folder", hint="write oci:DIR, or --push for a registry")
    target = parse_address(push) if push else None
    layout = open_layout(environ)
    with explaining_disk_errors(), holding_layout(environ):
        top = build_dockerfile(order, layout, environ, on_output)
        layout.tag(top, name)
    sent = None
    with open_registry(environ, insecure=insecure) as registry:
        for place in places:
            put(layout, top, _named(place, name), registry)
            on_output(f"---> {place}")
        if target is not None:
            sent = put(layout, top, target, registry, on_transfer=on_transfer).sent
            sent += attach_statements(layout, top, registry, target, on_output, is_new=sent > 0).sent
    if target is not None and key is not None:
        pinned = f"{str(target).partition('@')[0]}@{top['digest']}"
        sign_image(pinned, key, environ, insecure=insecure, on_output=on_output)
    return Built(name=name, digest=top["digest"], sent=sent)


def read_platforms(texts: Sequence[str], own: TargetPlatform) -> list[TargetPlatform]:
    """The platforms that --platform names, once or more, with commas or without; else this machine's."""
    words = [word.strip() for text in texts for word in text.split(",")]
    found = [parse_platform(word) for word in words] or [own]
    return list(dict.fromkeys(found))


def check_name(name: str) -> None:
    """Raise InputError for what no engine and no registry would take as a name."""
    if name != name.lower() and "/" not in name and ":" not in name:
        raise InputError(f"{name!r} is no name of an image", hint=f"write it in small letters: {name.lower()}")
    parse_address(name)


def _named(place: object, name: str) -> Place:
    """A place with the image's own name, where it has none: what `docker load` calls it."""
    assert isinstance(place, Place)
    if place.name is not None or place.kind != "docker-archive":
        return place
    has_tag = ":" in name.rpartition("/")[2]
    return Place(kind=place.kind, path=place.path, name=name if has_tag else f"{name}:latest")
