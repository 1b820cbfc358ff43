"""`s2i usage`: what a builder image says about itself."""

from pathlib import Path

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError, RunError
from modelyard.runtime.scratch import scratch_folder
from modelyard.s2i.builder import BuilderImage, find_uid
from modelyard.s2i.scripts import find_scripts


def run_usage(client: Client, builder: BuilderImage, environment: dict[str, str], on_output: OnOutput) -> None:
    """Run the builder's usage script, brought there where its label leads outside; raise RunError where it fails."""
    with scratch_folder() as folder:
        scripts = find_scripts(
            folder,
            url="",
            source=None,
            image_url=builder.scripts_url,
            builder=builder.reference,
            destination=builder.destination,
            directory=Path("/"),
        )
        if "usage" not in scripts.paths:
            raise InputError(
                f"{builder.reference}: no label io.openshift.s2i.scripts-url that leads to a script usage",
                hint="name a builder image",
            )
        with open_workshop(client, builder.id) as workshop:
            user = builder.user or "0"
            if "usage" in scripts.uploaded:
                workshop.bring({f"{builder.destination}/scripts": folder}, uid=find_uid(workshop, user))
            code, last = workshop.execute([scripts["usage"]], user=user, environment=environment, on_output=on_output)
    if code:
        raise RunError(
            f"{scripts['usage']} of {builder.reference} exited with {code}", hint="\n".join(last[-5:]) or None
        )
