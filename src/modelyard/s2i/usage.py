"""`s2i usage`: what a builder image says about itself."""

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError, RunError
from modelyard.s2i.builder import BuilderImage


def run_usage(client: Client, builder: BuilderImage, environment: dict[str, str], on_output: OnOutput) -> None:
    """Run the builder's usage script; raise RunError where it fails."""
    if not builder.scripts_url.startswith("image://"):
        raise InputError(
            f"{builder.reference}: no label io.openshift.s2i.scripts-url with image://, so it is no builder image",
            hint="name a builder image",
        )
    script = f"{builder.scripts_url.removeprefix('image://').rstrip('/')}/usage"
    with open_workshop(client, builder.id) as workshop:
        code, last = workshop.execute([script], user=builder.user or "0", environment=environment, on_output=on_output)
    if code:
        raise RunError(f"{script} of {builder.reference} exited with {code}", hint="\n".join(last[-5:]) or None)
