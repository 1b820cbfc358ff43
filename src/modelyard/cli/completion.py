"""`modelyard completion`."""

import click
from click.shell_completion import get_completion_class

from modelyard.cli import cli


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: modelyard completion bash > ~/.local/share/bash-completion/completions/modelyard
    """
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    click.echo(completion_class(cli, {}, "modelyard", "_MODELYARD_COMPLETE").source())
