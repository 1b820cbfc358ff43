"""`modelyard deploy` and `undeploy`: objects to a cluster, and away from it."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import Console
from modelyard.cli.manifests import KINDS, ask, render_options
from modelyard.cli.options import dry_run_option, engine_option, pass_settings, variables_option
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelyard.commands.deploying import Change
    from modelyard.commands.manifests import ManifestRequest
    from modelyard.manifests.documents import Manifest

context_option = click.option("--context", help="kubectl's context. Default: the current one.")


@click.command("deploy")
@click.argument("directories", nargs=-1, type=click.Path())
@click.option("--kind", type=click.Choice(KINDS), default="deployment", show_default=True, help="What to deploy.")
@render_options
@variables_option
@context_option
@click.option("--build/--no-build", default=True, help="Build and push to --registry first. Default: yes.")
@click.option("--wait/--no-wait", default=True, help="Wait for the rollout, and say why one fails. Default: yes.")
@click.option("--timeout", type=click.IntRange(min=1), default=600, show_default=True, help="Seconds to wait.")
@click.option("--undo", is_flag=True, help="Bring back what was there before where a rollout fails.")
@click.option("--force-conflicts", is_flag=True, help="Take over fields that somebody else manages.")
@dry_run_option
@engine_option
@pass_settings
def deploy_command(settings: Settings, /, **options: Any) -> None:
    """Build, push, render, validate for the cluster's version, apply server-side, and wait for the rollout.

    It takes what `modelyard manifests` takes. kubectl is the user's own; what an earlier deploy of the same name made
    and this one has not is removed.
    """
    from modelyard.commands.deploying import deploy, rehearse, undo, wait_until_ready
    from modelyard.commands.manifests import render
    from modelyard.engines.kubernetes.kubectl import open_kubectl
    from modelyard.errors import RunError

    kubectl = open_kubectl(settings.environ, context=options["context"], namespace=options["namespace"])
    request = ask(settings, options)
    console = Console(verbose=settings.verbose)
    if options["build"] and options["registry"] and not options["dry_run"]:
        _build(settings, request, options, console)
    rendered = render(request, settings.environ)
    for note in rendered.notes:
        console.note(note)
    do = rehearse if options["dry_run"] else deploy
    for name, manifests in _by_name(rendered.manifests):
        _show(do(manifests, kubectl, name=name, force=options["force_conflicts"]), differences=options["dry_run"])
    if options["dry_run"] or not options["wait"]:
        return
    try:
        wait_until_ready(rendered.manifests, kubectl, console, timeout=options["timeout"])
    except RunError:
        if options["undo"]:
            for name in undo(rendered.manifests, kubectl):
                console.note(f"brought back what deployment/{name} was before")
        raise


@click.command("undeploy")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@context_option
@click.option("-n", "--namespace", help="Where they are. Default: the context's own.")
@pass_settings
def undeploy_command(settings: Settings, names: tuple[str, ...], context: str | None, namespace: str | None) -> None:
    """Delete what `modelyard deploy` made as NAME, the name of its objects, and nothing else."""
    from modelyard.commands.deploying import undeploy
    from modelyard.engines.kubernetes.kubectl import open_kubectl

    kubectl = open_kubectl(settings.environ, context=context, namespace=namespace)
    for name in names:
        _show(undeploy(kubectl, name=name))


def _build(settings: Settings, request: "ManifestRequest", options: dict[str, Any], console: Console) -> None:
    """Build the image of each subject, with its models where they are baked in, and push it where it is looked for."""
    from modelyard.cli.registry import push_and_show
    from modelyard.commands.building import BuildRequest, build_image

    engine = settings.open_engine(options["engine"])
    for subject in request.subjects:
        build = BuildRequest(
            workspace=request.workspace,
            subject=subject,
            kind=request.image_kind,
            variant=options["variant"],
            with_models=request.image_kind == "predict" and request.models == "baked",
        )
        image = build_image(build, engine, console)
        target = f"{options['registry'].rstrip('/')}/{subject.container_name}-{request.image_kind}:{options['tag']}"
        push_and_show(settings, image.id, target, engine=engine, insecure=options["insecure"])


def _by_name(manifests: "Sequence[Manifest]") -> "list[tuple[str, list[Manifest]]]":
    def name(manifest: "Manifest") -> str:
        return str(manifest["metadata"]["labels"]["app.kubernetes.io/name"])

    return [(key, list(group)) for key, group in groupby(manifests, key=name)]


def _show(changes: "Sequence[Change]", *, differences: bool = False) -> None:
    for change in changes:
        click.echo(f"{change.object} {change.verb}")
        if differences and change.difference:
            click.echo(change.difference)
