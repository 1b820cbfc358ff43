"""A build that is ready to assemble: builder image, source and scripts, got together and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.engines.docker.client import Client
from modelyard.engines.protocols import OnOutput
from modelyard.errors import InputError
from modelyard.s2i.builder import (
    ASSEMBLE_RUNTIME_USER,
    ASSEMBLE_USER,
    SCRIPTS_URL,
    BuilderImage,
    open_builder,
)
from modelyard.s2i.config import BuildConfig
from modelyard.s2i.environment import read_variables
from modelyard.s2i.injection import Injections
from modelyard.s2i.labels import result_labels
from modelyard.s2i.scripts import REQUIRED, Scripts, find_scripts
from modelyard.s2i.source import Fetched, fetch_source
from modelyard.s2i.users import AllowedUids, find_users


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A build that is ready to assemble: what is fetched, which scripts, which variables and labels."""

    config: BuildConfig
    builder: BuilderImage
    folder: Path
    fetched: Fetched
    scripts: Scripts
    destination: str
    environment: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    injections: Injections = field(default_factory=Injections)
    runtime: BuilderImage | None = None

    @property
    def user(self) -> str:
        """Who assembles: the flag, the builder's label, the builder's own user."""
        return self.config.assemble_user or self.builder.labels.get(ASSEMBLE_USER, "") or self.builder.user or "0"

    @property
    def runtime_user(self) -> str:
        """Who runs assemble-runtime: the flag, the runtime image's label, its own user."""
        if self.runtime is None:
            return ""
        label = self.runtime.labels.get(ASSEMBLE_RUNTIME_USER, "")
        return self.config.assemble_runtime_user or label or self.runtime.user or "0"

    @property
    def idle_user(self) -> str:
        """Who waits in the container, and tidies up there: root, unless only some uids may run what images hold."""
        return self.user if self.config.allowed_uids else "0"


def prepare(client: Client, config: BuildConfig, folder: Path, on_output: OnOutput, *, directory: Path) -> Prepared:
    """Get builder image, source and scripts together; raise InputError for what does not fit.

    `folder` is for temporary files, `directory` what paths are relative to.
    """
    if config.incremental and config.runtime_image:
        raise InputError("--incremental and --runtime-image exclude each other", hint="leave one of them out")
    builder = open_builder(client, config.builder_image, config.pull_policy, on_output)
    runtime = (
        open_builder(client, config.runtime_image, config.pull_policy, on_output) if config.runtime_image else None
    )
    fetched = fetch_source(config, folder, directory=directory)
    destination = config.destination or builder.destination
    scripts = find_scripts(
        folder / "upload" / "scripts",
        url=config.scripts_url,
        source=fetched.root,
        source_name=fetched.name,
        image_url=builder.scripts_url,
        builder=builder.reference,
        destination=destination,
        directory=directory,
    )
    if builder.onbuild and config.block_onbuild:
        raise InputError(f"{builder.reference} has ONBUILD instructions, which --block-onbuild forbids")
    if not builder.onbuild:
        check_scripts(builder, scripts)
    written = fetched.root / ".s2i" / "environment"
    own = read_variables(written, name=f"{fetched.name}/.s2i/environment") if written.is_file() else {}
    injections = Injections.parse(
        config.injections, directory=directory, workdir=builder.config.get("WorkingDir") or "/"
    )
    prepared = Prepared(
        config=config,
        injections=injections,
        builder=builder,
        folder=folder,
        fetched=fetched,
        scripts=scripts,
        destination=destination,
        environment={**own, **config.environment},
        labels=result_labels(config, fetched, builder),
        runtime=runtime,
    )
    check_users(prepared)
    return prepared


def check_users(prepared: Prepared) -> None:
    """Raise InputError where --allowed-uids does not allow who would run something in this build."""
    allowed = AllowedUids.parse(prepared.config.allowed_uids)
    builder, runtime = prepared.builder, prepared.runtime
    if builder.onbuild:
        allowed.check(builder.user, f"the user of {builder.reference}")
        for user in find_users(builder.onbuild):
            allowed.check(user, f"the user that ONBUILD instructions of {builder.reference} change to")
    else:
        allowed.check(prepared.user, f"the user that {builder.reference} assembles with")
    if runtime is not None:
        allowed.check(prepared.runtime_user, f"the user of assemble-runtime in {runtime.reference}")


def check_scripts(builder: BuilderImage, scripts: Scripts) -> None:
    """Raise InputError where a script that every build needs is nowhere."""
    missing = sorted(REQUIRED - scripts.paths.keys())
    if missing and not builder.scripts_url:
        raise InputError(
            f"{builder.reference}: no label io.openshift.s2i.scripts-url, so it is no builder image",
            hint="name a builder image, or say where the scripts are: --scripts-url image:///usr/libexec/s2i",
        )
    if missing:
        raise InputError(
            f"there is no {' and no '.join(missing)}, neither in .s2i/bin nor at {builder.scripts_url}, "
            f"which is the label {SCRIPTS_URL} of {builder.reference}",
            hint="write them into .s2i/bin, or say where they are: --scripts-url",
        )
