"""A builder image as s2i sees it: its labels, its user, its ONBUILD instructions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.pulling import find_image, pull_image
from modelyard.engines.docker.workshop import Workshop
from modelyard.engines.protocols import OnOutput, discard
from modelyard.errors import EngineError, InputError
from modelyard.s2i.config import PullPolicy
from modelyard.s2i.users import is_uid, read_user

SCRIPTS_URL = "io.openshift.s2i.scripts-url"
DESTINATION = "io.openshift.s2i.destination"
# Names of before 2016, which images in the field still carry: a label, and before that a variable.
_OLD_LABELS = {SCRIPTS_URL: "io.s2i.scripts-url", DESTINATION: "io.s2i.destination"}
_OLD_VARIABLES = {SCRIPTS_URL: "STI_SCRIPTS_URL", DESTINATION: "STI_LOCATION"}
ASSEMBLE_USER = "io.openshift.s2i.assemble-user"
ASSEMBLE_RUNTIME_USER = "io.openshift.s2i.assemble-runtime-user"


@dataclass(frozen=True, kw_only=True)
class BuilderImage:
    """What an image's configuration says."""

    reference: str
    id: str
    config: Mapping[str, Any]

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.config.get("Labels") or {}

    @property
    def scripts_url(self) -> str:
        """Where its scripts are; empty for a builder without that label."""
        return self._read(SCRIPTS_URL)

    @property
    def destination(self) -> str:
        """Where it wants source and scripts."""
        return self._read(DESTINATION).rstrip("/") or "/tmp"

    def _read(self, label: str) -> str:
        variables = dict(line.partition("=")[::2] for line in self.config.get("Env") or ())
        old = self.labels.get(_OLD_LABELS[label]) or variables.get(_OLD_VARIABLES[label], "")
        return self.labels.get(label) or old

    @property
    def user(self) -> str:
        """The user it runs as."""
        return self.config.get("User") or ""

    @property
    def onbuild(self) -> tuple[str, ...]:
        """Its ONBUILD instructions."""
        return tuple(self.config.get("OnBuild") or ())


def open_builder(client: Client, reference: str, policy: PullPolicy, on_output: OnOutput) -> BuilderImage:
    """Look at a builder image, pulled as the policy says; raise EngineError where it is not to be had."""
    found = find_image(client, reference)
    if policy == "always" or (found is None and policy == "if-not-present"):
        try:
            pull_image(client, reference, on_output)
        except EngineError as error:
            raise EngineError(
                error.message, hint="check its name; --pull-policy never uses only what is here"
            ) from None
        found = find_image(client, reference)
    if found is None:
        raise EngineError(f"there is no image {reference!r} here", hint="pull it, or use --pull-policy if-not-present")
    return BuilderImage(reference=reference, id=found["Id"], config=found["Config"])


def find_uid(workshop: Workshop, user: str) -> int:
    """The uid of a user as an image or a flag writes it (`1001`, `1001:0`, `app`); raise InputError for none."""
    name = read_user(user)
    if is_uid(name):
        return int(name)
    code, last = workshop.execute(["id", "-u", name], user="0", environment={}, on_output=discard)
    if code or not last or not is_uid(last[0]):
        raise InputError(
            f"the user {name!r} is none of the builder image's", hint="name one of its users, or a uid: --assemble-user"
        )
    return int(last[0])
