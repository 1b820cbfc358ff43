"""What the commands of `modelyard s2i` do, from arguments to result."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.containers import run_image
from modelyard.engines.docker.profile import container_profile
from modelyard.engines.docker.pulling import find_image
from modelyard.engines.protocols import OnOutput
from modelyard.engines.reference import normalise_tag
from modelyard.errors import EngineError, RunError
from modelyard.network import NetworkProfile, read_aside
from modelyard.runtime.scratch import scratch_folder
from modelyard.s2i.build import build
from modelyard.s2i.builder import open_builder
from modelyard.s2i.callback import check_callback, post_callback
from modelyard.s2i.config import BuildConfig, PullPolicy
from modelyard.s2i.dockerfile import write_dockerfile
from modelyard.s2i.labels import read_labels
from modelyard.s2i.prepared import prepare
from modelyard.s2i.usage import run_usage


def build_image(
    client: Client,
    config: BuildConfig,
    environ: Mapping[str, str],
    on_output: OnOutput,
    *,
    directory: Path,
    keep_folder: bool = False,
    read_network: Callable[[], NetworkProfile] | None = None,
) -> str:
    """Build, tell the callback URL how it went, remove the previous image if asked to; return the image's id.

    `read_network` gives the user's network settings, where somebody has begun to read them already.
    """
    config = replace(config, tag=normalise_tag(config.tag) if config.tag else "")
    check_callback(config.callback_url)
    previous = find_image(client, config.tag) if config.tag and config.remove_previous else None
    read_network = read_network or read_aside(environ)
    messages: list[str] = []

    def keep(line: str) -> None:
        messages.append(line)
        on_output(line)

    image = ""
    try:
        with _work_folder(keep_folder, on_output) as folder:
            prepared = prepare(client, config, folder, keep, directory=directory)
            with container_profile(read_network(), environ) as network:
                image = build(client, prepared, network, keep)
    finally:
        if config.callback_url:
            found = find_image(client, image) if image else None
            labels = found["Config"].get("Labels") or {} if found else {}
            post_callback(config.callback_url, success=bool(image), messages=messages, labels=labels)
    if previous is not None and previous["Id"] != image:
        with client.talking("remove the previous image"):
            client.api.remove_image(previous["Id"], force=True)
    return image


def build_dockerfile(
    client: Client, config: BuildConfig, target: Path, on_output: OnOutput, *, directory: Path
) -> Path:
    """Write a Dockerfile and what it needs in place of building."""
    with scratch_folder() as folder:
        return write_dockerfile(prepare(client, config, folder, on_output, directory=directory), target)


def rebuild_config(client: Client, image: str, tag: str | None) -> BuildConfig:
    """The build that made `image`, read off its labels, for the same tag or a new one."""
    found = find_image(client, image)
    if found is None:
        raise EngineError(f"there is no image {image!r} here", hint="name an image that s2i built")
    return read_labels(image, found["Config"].get("Labels") or {}, tag=tag or image)


def show_usage(
    client: Client, image: str, environment: dict[str, str], policy: PullPolicy, on_output: OnOutput
) -> None:
    """Run a builder image's usage script."""
    run_usage(client, open_builder(client, image, policy, on_output), environment, on_output)


def run_result(client: Client, image: str, on_output: OnOutput) -> None:
    """Run what was built, with its own user, until it ends; raise RunError where that is not with 0."""
    code = run_image(client, image, on_output)
    if code:
        raise RunError(f"{image[:19]} exited with {code}", hint="what it printed stands above")


@contextmanager
def _work_folder(keep: bool, on_output: OnOutput) -> Iterator[Path]:
    if not keep:
        with scratch_folder() as folder:
            yield folder
        return
    kept = Path(mkdtemp(prefix="modelyard-s2i-"))
    on_output(f"---> temporary directory: {kept} is kept")
    yield kept
