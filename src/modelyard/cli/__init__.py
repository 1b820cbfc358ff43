"""The command line. Importing it imports click and nothing heavier: every command is loaded when it is used."""

import errno
import signal
import sys
from importlib import import_module
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from modelyard import __version__
from modelyard.runtime.errors import ModelyardError

# command -> (module, one line for --help): --help must not import the commands to describe them.
COMMANDS = {
    "init": ("scaffold", "Make a workspace in an empty folder."),
    "new": ("scaffold", "Make a project or a model directory that works at once."),
    "adopt": ("adopt", "Make models of somebody's repository, or of a folder of scripts."),
    "data": ("models", "Get the data of a project."),
    "train": ("models", "Build train images, train, write model binaries."),
    "flow": ("flow", "Run the steps of a flow that something has changed for."),
    "tune": ("tune", "Search the parameters of a step of a flow."),
    "runs": ("runs", "Look at the runs of a flow."),
    "history": ("history", "Show, draw and export what trainings in the background went through."),
    "kubeml": ("kubeml", "Take the commands of the original kubeml, with its flags."),
    "job": ("job", "Look at trainings in the background, stop and resume them."),
    "generate": ("models", "Write all/, the one daemon of many models."),
    "lock": ("lock", "Pin what requirements come to, with hashes."),
    "stage": ("images", "Lay out the build context of a model directory."),
    "build": ("images", "Build the train or predict image of a model directory."),
    "images": ("images", "List images."),
    "inspect": ("images", "Show everything about one image."),
    "rmi": ("images", "Remove images."),
    "prune": ("images", "Remove what nothing uses: untagged images, environments, ended containers."),
    "image": ("image", "Build an image of a Dockerfile without RUN, with no engine."),
    "sbom": ("sbom", "Print what an image is made of, and where it comes from."),
    "verify-image": ("verify", "Make an image once more, and say where the two differ."),
    "push": ("registry", "Push an image to a registry."),
    "pull": ("registry", "Get an image from a registry, without an engine."),
    "copy": ("registry", "Copy an image between registries, layouts and archives."),
    "tags": ("registry", "List the tags of an image in a registry."),
    "login": ("registry", "Keep a registry's user and password where docker does."),
    "logout": ("registry", "Forget a registry's user and password."),
    "serve": ("serving", "Build and start a daemon, and wait until it is ready."),
    "test": ("serving", "Send the test instances every way, and compare the answers."),
    "run": ("containers", "Run an image."),
    "ps": ("containers", "List containers."),
    "logs": ("containers", "Show a container's log."),
    "stop": ("containers", "Stop containers."),
    "dataset": ("dataset", "Make, list and delete data sets of arrays, as KubeDataset opens them."),
    "deploy": ("deploy", "Build, push, apply to a cluster, and wait until it is ready."),
    "undeploy": ("deploy", "Delete what deploy made."),
    "seldon": ("seldon", "Write a model class for Seldon, and its deployment."),
    "k8s": ("seldon", "Print secrets for a cluster."),
    "manifests": ("manifests", "Write Kubernetes objects, validated strictly."),
    "store": ("store", "Move model files to and from a folder or an S3 bucket."),
    "s2i": ("s2i", "Build any source with any S2I builder image, as upstream's s2i does."),
    "demo": ("demo", "Train, package, serve and test a whole project."),
    "doctor": ("doctor", "Say what is missing here, and how to mend it."),
    "completion": ("completion", "Print the shell completion script."),
}
ALIASES = {"pipeline": "flow"}
"""Names that people know commands by from elsewhere."""


class LazyGroup(click.Group):
    """A group whose commands are imported when one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order of a person's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and take the command out of it."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"modelyard.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for a misspelt one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="modelyard")
@click.option(
    "-C", "directory", type=click.Path(exists=True, file_okay=False), help="Work as if started in this folder."
)
@click.option("-v", "--verbose", is_flag=True, help="Show all that builds and training runs print.")
@click.pass_context
def cli(ctx: click.Context, directory: str | None, verbose: bool) -> None:
    """Source-to-image for models: a train and a predict image per model, one daemon for all of them."""
    import logging  # not needed for --help

    from modelyard.cli.settings import Settings

    logging.basicConfig(format="%(message)s")
    logging.getLogger("modelyard").setLevel(logging.INFO)
    ctx.obj = Settings.from_process(directory=directory, verbose=verbose)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit. The one place that exits the process and turns errors into messages."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _terminate)
    try:
        result: Any = cli.main(args=arguments, prog_name="modelyard", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        if variable := _variable_of(error):
            click.echo(f"It is set by the environment variable {variable}.", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        code = 130
    except ModelyardError as error:
        code = _report(error)
    except OSError as error:
        if not error.filename and error.errno in (errno.ENOSPC, errno.EDQUOT):  # writes do not say where
            error.filename = "a disk that it writes to"
        if not error.filename:  # nothing that a person could mend: a bug
            raise
        is_misplaced = isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError)
        hint = "a file is in a folder's place, or a folder in a file's: move it" if is_misplaced else None
        code = _report(
            ModelyardError(f"{error.filename}: {error.strerror}", hint=hint or "check the folder's rights and space")
        )
    sys.exit(code)


def _variable_of(error: click.ClickException) -> str | None:
    """The environment variable that a wrong value of an option comes from; of make's own, with their name there."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or error.param is None or not error.param.name:
        return None
    if error.ctx.get_parameter_source(error.param.name) is not ParameterSource.ENVIRONMENT:
        return None
    variable = str(error.param.envvar)
    return f"{variable} (make: {variable.removeprefix('MODELYARD_')})"


def _terminate(number: int, _frame: object) -> NoReturn:
    """Clean up on SIGTERM, and when the terminal is closed, as on Ctrl-C: leave through every `finally`."""
    sys.exit(128 + number)


def _report(error: ModelyardError) -> int:
    from modelyard.cli.console import leave_out_shown  # not needed for --help

    click.secho("error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(leave_out_shown(error.message), err=True)
    if error.hint:
        click.secho("hint:  ", fg="cyan", err=True, nl=False)
        click.echo(error.hint.replace("\n", "\n       "), err=True)
    return error.exit_code
