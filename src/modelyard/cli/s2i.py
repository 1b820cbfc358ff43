"""`modelyard s2i build|rebuild|usage|create|version`: upstream's command line on a Docker or Podman engine."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from modelyard import __version__
from modelyard.cli.options import engine_option, pass_settings
from modelyard.cli.pflags import PflagGroup
from modelyard.cli.settings import Settings, say_engine
from modelyard.errors import InputError
from modelyard.network import read_aside

if TYPE_CHECKING:
    from modelyard.engines.docker.client import Client
    from modelyard.s2i.config import BuildConfig

Command = Callable[..., Any]
pull_policy = click.Choice(["always", "if-not-present", "never"])


def environment_options(command: Command) -> Command:
    """-e NAME=VALUE and -E FILE. A comma in a value is a comma."""
    command = click.option(
        "-E", "--environment-file", type=click.Path(exists=True, dir_okay=False), help="NAME=VALUE lines."
    )(command)
    return click.option("-e", "--env", "variables", multiple=True, metavar="NAME=VALUE", help="Set a variable.")(
        command
    )


def url_option(command: Command) -> Command:
    """-U URL of the engine's socket."""
    return click.option("-U", "--url", metavar="URL", help="The engine's socket. Default: DOCKER_HOST, else found.")(
        command
    )


# Upstream's tests and pipelines set it. What assemble prints is shown at every level; -q shows less.
loglevel_option = click.option(
    "--loglevel", type=int, metavar="N", expose_value=False, help="Taken as upstream's; shows neither more nor less."
)


@click.group("s2i", cls=PflagGroup, context_settings={"help_option_names": ["-h", "--help"]})
@url_option
@loglevel_option
@click.pass_context
def s2i_command(ctx: click.Context, url: str | None) -> None:
    """Build images of any source with any S2I builder image, as upstream's s2i does."""
    if url:  # for every command, unless that has its own
        ctx.obj = replace(ctx.obj, environ={**ctx.obj.environ, "DOCKER_HOST": url})


_FLAGS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("-c", "--copy", "copy"),
        {"is_flag": True, "help": "Take the files as they are, not a commit of the repository."},
    ),
    (("-r", "--ref"), {"default": "", "help": "The branch, tag or commit to build."}),
    (("--context-dir",), {"default": "", "help": "The folder of the source that holds the application."}),
    (("--exclude",), {"help": "A regular expression of paths to leave out. Default: .git.", "metavar": "REGEX"}),
    (("--keep-symlinks",), {"is_flag": True, "help": "Keep links that leave the source as they are."}),
    (("--ignore-submodules",), {"is_flag": True, "help": "Leave git submodules out."}),
    (("-s", "--scripts-url"), {"default": "", "help": "Where the scripts are: image://, file:// or http(s)://."}),
    (("-d", "--destination"), {"default": "", "help": "Where source and scripts go in the container. Default: /tmp."}),
    (("--assemble-user",), {"default": "", "help": "Who runs assemble."}),
    (("--assemble-runtime-user",), {"default": "", "help": "Who runs assemble-runtime."}),
    (("-u", "--allowed-uids"), {"default": "", "help": "The uids that may assemble, such as 1- or 1000-2000."}),
    (("--incremental",), {"is_flag": True, "help": "Use the artifacts of the image that has the tag now."}),
    (("--rm", "remove_previous"), {"is_flag": True, "help": "Remove the image that had the tag."}),
    (("--runtime-image",), {"default": "", "help": "Put the result on this image, not on the builder."}),
    (("-a", "--runtime-artifact"), {"multiple": True, "help": "What to copy there: SOURCE[:TARGET]."}),
    (("-v", "--volume"), {"multiple": True, "help": "Mount FOLDER:TARGET[:ro] while assembling."}),
    (("-i", "--inject"), {"multiple": True, "help": "Files for assemble only: FOLDER:TARGET."}),
    (("--cap-drop",), {"multiple": True, "help": "Drop a capability while assembling."}),
    (("--network",), {"default": "", "help": "The engine's network to assemble in."}),
    (("--add-host",), {"multiple": True, "help": "Add HOST:IP to /etc/hosts while assembling."}),
    (("--label", "labels"), {"multiple": True, "metavar": "KEY=VALUE", "help": "Label the image."}),
    (("-n", "--application-name"), {"default": "", "help": "The application's name. Default: the tag."}),
    (("--description",), {"default": "", "help": "What the application is."}),
    (("-p", "--pull-policy"), {"type": pull_policy, "default": "if-not-present", "help": "When to pull the builder."}),
    (("--block-onbuild",), {"is_flag": True, "help": "Refuse builder images with ONBUILD instructions."}),
    (("--callback-url",), {"default": "", "help": "Where to POST how it ended."}),
)
_DONE = (
    (("--as-dockerfile",), {"metavar": "PATH", "help": "Write a Dockerfile in place of building."}),
    (("--save-temp-dir",), {"is_flag": True, "help": "Keep the folder with source and scripts."}),
    (("--run", "run_it"), {"is_flag": True, "help": "Run the image in the end."}),
    (("-q", "--quiet"), {"is_flag": True, "help": "Print errors only."}),
)


# Upstream's rebuild takes these as well; the rest is what the labels say.
_OF_REBUILD = frozenset(
    ("-d", "--incremental", "--rm", "--callback-url", "-p", "--save-temp-dir", "--run", "-q"),
)


def build_flags(command: Command) -> Command:
    """Every flag that says what is built and how."""
    return _add_flags(command, (*_FLAGS, *_DONE))


def rebuild_flags(command: Command) -> Command:
    """The flags of build that go with an image's labels."""
    return _add_flags(command, [flag for flag in (*_FLAGS, *_DONE) if not _OF_REBUILD.isdisjoint(flag[0])])


def _add_flags(command: Command, flags: Sequence[tuple[tuple[str, ...], dict[str, Any]]]) -> Command:
    for names, options in reversed(flags):
        command = click.option(*names, **options)(command)
    return command


@s2i_command.command("build")
@click.argument("source", default="")
@click.argument("builder_image", default="")
@click.argument("tag", default="")
@build_flags
@environment_options
@click.option("--use-config", is_flag=True, help="Use .s2ifile again, or write it.")
@url_option
@loglevel_option
@engine_option
@pass_settings
def build_s2i(
    settings: Settings,
    /,
    source: str,
    builder_image: str,
    tag: str,
    use_config: bool,
    url: str | None,
    engine: str | None,
    **flags: Any,
) -> None:
    """Build an image called TAG of SOURCE (a directory, file:// or a git URL with #ref) with BUILDER_IMAGE."""
    from modelyard.s2i.config import load_config, save_config

    if builder_image:
        config = _config(settings, source, builder_image, tag, flags)
        if use_config:
            save_config(config, settings.directory)
    elif use_config:
        config = load_config(settings.directory)
    else:
        raise click.UsageError("name SOURCE and BUILDER_IMAGE, or --use-config")
    _build(settings, _open(settings, engine, url, quiet=flags["quiet"]), config, flags)


@s2i_command.command("rebuild")
@click.argument("image")
@click.argument("new_tag", required=False)
@rebuild_flags
@url_option
@loglevel_option
@engine_option
@pass_settings
def rebuild_s2i(
    settings: Settings, /, image: str, new_tag: str | None, url: str | None, engine: str | None, **flags: Any
) -> None:
    """Build IMAGE again as its labels say, under its tag or NEW_TAG."""
    from modelyard.s2i.command import rebuild_config

    client = _open(settings, engine, url, quiet=flags["quiet"])
    named = ("destination", "incremental", "remove_previous", "callback_url", "pull_policy")
    config = replace(rebuild_config(client, image, new_tag), **{name: flags[name] for name in named})
    _build(settings, client, config, flags)


@s2i_command.command("usage")
@click.argument("builder_image")
@click.option("-p", "--pull-policy", type=pull_policy, default="if-not-present", help="When to pull the builder.")
@click.option("-d", "--destination", expose_value=False, help="Taken as upstream's; nothing is uploaded here.")
@environment_options
@url_option
@loglevel_option
@engine_option
@pass_settings
def usage_s2i(
    settings: Settings,
    /,
    builder_image: str,
    pull_policy: Any,
    variables: tuple[str, ...],
    environment_file: str | None,
    url: str | None,
    engine: str | None,
) -> None:
    """Show what BUILDER_IMAGE says about itself."""
    from modelyard.s2i.command import show_usage

    environment = _environment(settings, variables, environment_file)
    show_usage(_open(settings, engine, url), builder_image, environment, pull_policy, click.echo)


@s2i_command.command("create")
@click.argument("name")
@click.argument("folder", type=click.Path())
@loglevel_option
@pass_settings
def create_s2i(settings: Settings, name: str, folder: str) -> None:
    """Write the skeleton of the builder image NAME into FOLDER."""
    from modelyard.s2i.create import create_builder

    for path in create_builder(name, settings.path(folder)):
        click.echo(path)


@s2i_command.command("version")
@loglevel_option
def version_s2i() -> None:
    """Show the version."""
    click.echo(f"modelyard s2i {__version__}")


def _build(settings: Settings, client: "Client", config: "BuildConfig", flags: dict[str, Any]) -> None:
    target = flags.get("as_dockerfile")
    # While the rest of this program loads, and the source is fetched.
    read_network = None if target else read_aside(settings.environ)
    from modelyard.s2i.command import build_dockerfile, build_image, run_result

    output = _discard if flags.get("quiet") else _to_stderr
    if target and flags.get("run_it"):
        raise click.UsageError("--as-dockerfile builds nothing that --run could run")
    if target:
        path = settings.path(f"{target}Dockerfile" if target.endswith("/") else target)
        click.echo(build_dockerfile(client, config, path, output, directory=settings.directory))
        return
    image = build_image(
        client,
        config,
        settings.environ,
        output,
        directory=settings.directory,
        keep_folder=bool(flags.get("save_temp_dir")),
        read_network=read_network,
    )
    click.echo(image)
    if flags.get("run_it"):
        run_result(client, image, click.echo)


def _config(settings: Settings, source: str, builder_image: str, tag: str, flags: dict[str, Any]) -> "BuildConfig":
    from modelyard.s2i.config import BuildConfig

    exclude = {} if flags["exclude"] is None else {"exclude": flags["exclude"]}
    plain = (
        "scripts_url destination ref context_dir copy ignore_submodules keep_symlinks incremental remove_previous "
        "assemble_user assemble_runtime_user allowed_uids runtime_image network application_name description "
        "pull_policy callback_url block_onbuild"
    )
    return BuildConfig(
        source=source,
        builder_image=builder_image,
        tag=tag,
        environment=_environment(settings, flags["variables"], flags["environment_file"]),
        labels=_pairs("--label", flags["labels"]),
        runtime_artifacts=flags["runtime_artifact"],
        volumes=flags["volume"],
        injections=flags["inject"],
        cap_drop=tuple(name for item in flags["cap_drop"] for name in item.split(",")),
        add_hosts=flags["add_host"],
        **exclude,
        **{name: flags[name] for name in plain.split()},
    )


def _environment(settings: Settings, variables: tuple[str, ...], file: str | None) -> dict[str, str]:
    from modelyard.s2i.environment import read_variables

    written = read_variables(settings.path(file)) if file else {}
    return {**written, **_pairs("-e", variables)}


def _pairs(flag: str, items: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError(f"{flag} {item!r} has no '='", hint=f"write {flag} NAME=VALUE")
        pairs[name] = value
    return pairs


def _open(settings: Settings, engine: str | None, url: str | None, *, quiet: bool = False) -> "Client":
    from modelyard.engines.docker.client import open_client

    environ = {**settings.environ, "DOCKER_HOST": url} if url else settings.environ
    named = engine or settings.environ.get("MODELYARD_ENGINE") or None
    client = open_client(named, environ)
    if named in (None, "auto") and not (url or quiet):
        say_engine(client.socket.engine, client.socket.origin)
    return client


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


def _discard(line: str) -> None:
    pass
