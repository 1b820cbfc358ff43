"""Build in one container: what s2i does, for builders that know nothing of stages and for an assemble of your own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.context.build_context import BuildContext, digest_parts
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.images.instructions import format_instructions
from modelyard.images.layer import UID
from modelyard.machine.failure import explain_build_failure

UPLOAD = "/tmp"
APP_ROOTS = {"train": "/model", "predict": "/action"}


@dataclass(frozen=True, kw_only=True)
class OneContainerPlan:
    """Assemble `source` with `scripts` in a container of `builder`, and give the result these names."""

    name: str
    builder: str
    source: Path
    scripts: Path
    app_root: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    build_environment: Mapping[str, str] = field(default_factory=dict)


def one_container_key(context: BuildContext, builder: str) -> str:
    """The digest of all that goes into the image."""
    arguments = [f"{name}={value}" for name, value in sorted(context.arguments.items())]
    parts = [builder, context.source_digest, context.name, context.kind, *arguments]
    return digest_parts(map(str.encode, parts))


def plan_one(context: BuildContext, builder: str, labels: Mapping[str, str]) -> OneContainerPlan:
    """How to assemble a staged context in one container of the image `builder`."""
    return OneContainerPlan(
        name=context.name,
        builder=builder,
        source=context.source,
        scripts=context.scripts,
        app_root=APP_ROOTS[context.kind],
        environment={**context.environment, "MODELYARD_SOURCE_DIGEST": context.source_digest},
        labels=labels,
        build_environment={**context.arguments, "MODELYARD_REQUIREMENTS_FILE": context.about.requirements},
    )


def build_in_one(client: Client, plan: OneContainerPlan, profile: ContainerProfile, on_output: OnOutput) -> str:
    """Do so, as root, and hand the application over to the user 1001; return the image's id."""
    with open_workshop(client, plan.builder, folders=profile.folders, network=profile.network) as workshop:
        workshop.bring({f"{UPLOAD}/src": plan.source, f"{UPLOAD}/scripts": plan.scripts}, uid=UID, shared=True)
        variables = {
            **plan.environment,
            **profile.variables,
            **plan.build_environment,
            "APP_ROOT": plan.app_root,
            "S2I_SOURCE": f"{UPLOAD}/src",
        }
        code, last = workshop.execute(
            ["bash", f"{UPLOAD}/scripts/assemble"], user="0", environment=variables, on_output=on_output
        )
        if code:
            raise explain_build_failure(plan.name, code, last)
        hand_over = (
            f'mkdir -p "$APP_ROOT" && chown -R 1001:0 "$APP_ROOT" && chmod -R g=u "$APP_ROOT" && rm -rf {UPLOAD}/src'
        )
        workshop.execute(
            ["sh", "-c", hand_over], user="0", environment={"APP_ROOT": plan.app_root}, on_output=on_output
        )
        return workshop.commit(
            title=f"assembled in one container: {plan.name}",
            changes=[
                *format_instructions("ENV", {**plan.environment, "APP_ROOT": plan.app_root}),
                *format_instructions("LABEL", plan.labels),
                f"CMD {json.dumps(['bash', f'{UPLOAD}/scripts/run'])}",
                f"WORKDIR {plan.app_root}",
                "USER 1001",
            ],
        )
