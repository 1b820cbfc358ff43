"""Images by their digest: what a cluster runs must stay what it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelyard.commands.copying import open_registry
from modelyard.commands.subject import Subject
from modelyard.engines.oci.address import Address, parse_address
from modelyard.errors import InputError, ModelyardError
from modelyard.workspace import Kind


@dataclass(frozen=True, kw_only=True)
class ImageChoice:
    """Which images to run, as it was typed: one by name, or those that `make push REGISTRY=` has sent."""

    image: str | None = None
    registry: str | None = None
    tag: str = "latest"
    allow_tag: bool = False
    insecure: bool = False


def pin(choice: ImageChoice, wanted: Sequence[tuple[Subject, Kind]], environ: Mapping[str, str]) -> dict[str, str]:
    """The image of each subject, by its digest; the registry is asked for what a tag names now.

    Raises InputError where none is there, or where the registry can't be asked and no tag is allowed.
    """
    addresses = {subject.full_name: _address(choice, subject, kind, many=len(wanted) > 1) for subject, kind in wanted}
    tagged = {name: address for name, address in addresses.items() if address.digest is None}
    found = dict.fromkeys(tagged, "") if choice.allow_tag else _resolve(tagged, environ, insecure=choice.insecure)
    return {name: str(address.at(found[name]) if found.get(name) else address) for name, address in addresses.items()}


def _address(choice: ImageChoice, subject: Subject, kind: Kind, *, many: bool) -> Address:
    if choice.image is not None:
        if many:
            raise InputError(
                f"--image {choice.image} is one image, but several are to run", hint="--registry host/name [--tag TAG]"
            )
        address = parse_address(choice.image)
        return address if address.digest is None else address.at(address.digest)
    if choice.registry is None:
        raise InputError(
            f"which image of {subject.full_name} is to run?",
            hint="make push REGISTRY=host/name, then --registry host/name; or --image host/name@sha256:...",
        )
    return parse_address(f"{choice.registry.rstrip('/')}/{subject.container_name}-{kind}:{choice.tag}")


def _resolve(addresses: Mapping[str, Address], environ: Mapping[str, str], *, insecure: bool) -> dict[str, str]:
    if not addresses:
        return {}
    digests = {}
    with open_registry(environ, insecure=insecure) as registry:
        for name, address in addresses.items():
            try:
                digest = registry.find_manifest(address)
            except ModelyardError as error:
                raise type(error)(
                    f"{address} is a tag, and what it names can't be found out: {error.message}",
                    hint="name the digest that modelyard push printed, or take the tag as it is: --allow-tag",
                ) from None
            if digest is None:
                raise InputError(
                    f"{name}: there is no {address}",
                    hint="push it first: make push REGISTRY=..., modelyard build --push",
                )
            digests[name] = digest
    return digests
