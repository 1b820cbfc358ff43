"""`modelyard adopt`."""

import click

from modelyard.cli.options import pass_settings
from modelyard.cli.settings import Settings


@click.command("adopt")
@click.argument("directory", type=click.Path())
@click.option("--project", metavar="NAME", help="The project to bring it into. Default: as it calls itself.")
@click.option(
    "--force", is_flag=True, help="Replace Makefiles that have recipes of their own; keep them as Makefile.old."
)
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing.")
@pass_settings
def adopt_command(settings: Settings, directory: str, project: str | None, force: bool, dry_run: bool) -> None:
    """Make models of this workspace of DIRECTORY, a repository in any layout or a folder of scripts.

    Says what it is, and writes what is missing: the names and the include in Makefiles, .s2i/environment,
    requirements, test instances. What lies below projects/ is completed there; anything else is copied there and left
    alone.
    """
    from modelyard.commands import adopting

    path = settings.path(directory)
    path = path if path.exists() else settings.locate(directory)
    adoption = adopting.plan_adoption(settings.workspace, path, project=project, force=force)
    for line in adopting.describe_adoption(adoption):
        click.echo(line)
    if dry_run:
        for line in filter(None, adopting.diff_adoption(adoption)):
            click.echo(line)
        return
    root = settings.workspace.root
    for path in adopting.write_adoption(adoption):
        click.echo(f"wrote {path.relative_to(root)}")
    for line in adopting.find_left(adoption):
        click.echo(f"to do: {line}")
    for line in adopting.name_next(adoption):
        click.echo(line)
