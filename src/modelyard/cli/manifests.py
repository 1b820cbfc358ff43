"""`modelyard manifests`: Kubernetes objects of models, and strict validation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.options import parse_variables, pass_settings, variables_option
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.commands.manifests import ManifestRequest
    from modelyard.manifests.documents import Manifest

Command = Callable[..., Any]
KINDS = ("deployment", "kserve", "seldon", "job", "indexed-job", "pytorchjob", "trainjob", "cronjob")
_NUMBER = click.IntRange(min=1)

# In groups, as --help shows them: what runs, its files, how it is reached, scaled and watched; training.
_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--image",), {"metavar": "REF", "help": "The image, best by its digest: host/name@sha256:..."}),
    (("--registry",), {"metavar": "HOST/NAME", "help": "Where make push REGISTRY= has sent the images."}),
    (("--tag",), {"default": "latest", "show_default": True, "help": "With --registry: the images' tag."}),
    (("--allow-tag",), {"is_flag": True, "help": "Write a tag as it is, whatever it will name some day."}),
    (("--insecure",), {"is_flag": True, "help": "Ask the registry over plain HTTP."}),
    (("--name",), {"help": "What the objects are called. Default: made of CONTAINER_NAME."}),
    (("-n", "--namespace"), {"help": "Write this namespace into each object."}),
    (("--cpu",), {"default": "1", "show_default": True, "help": "Cores, asked for and limited: 500m, 2."}),
    (("--memory",), {"help": "Memory, asked for and limited: 2Gi. Default: from what was measured."}),
    (
        ("--variant",),
        {"type": click.Choice(["cpu", "cuda"]), "envvar": "VARIANT", "default": "cpu", "help": "cuda: with a card."},
    ),
    (("--gpus",), {"type": click.IntRange(min=0), "help": "Graphics cards. Default: 1 with --variant cuda."}),
    (("--models",), {"default": "baked", "show_default": True, "help": "pvc:CLAIM, s3://BUCKET/KEY, oci:IMAGE."}),
    (("--models-secret",), {"metavar": "SECRET", "help": "With AWS_ACCESS_KEY_ID and its like, for s3://."}),
    (("--pull-secret",), {"metavar": "SECRET", "help": "Credentials of the registry."}),
    (("--tokens",), {"metavar": "SECRET", "help": "Bearer tokens of the routes, a key each."}),
    (("--replicas",), {"type": _NUMBER, "default": 1, "show_default": True, "help": "Pods; with a scaler, the least."}),
    (("--max-replicas",), {"type": _NUMBER, "help": "Scale up to as many pods, by their CPU."}),
    (("--prometheus",), {"metavar": "URL", "help": "Scale by the daemon's queue instead, with KEDA."}),
    (("--host",), {"help": "An Ingress for this host."}),
    (("--tls",), {"metavar": "SECRET", "help": "The host's certificate."}),
    (("--ingress-class",), {"help": "Whose Ingress it is."}),
    (("--gateway",), {"metavar": "[NAMESPACE/]NAME", "help": "An HTTPRoute of this Gateway in place of an Ingress."}),
    (("--monitor",), {"type": click.Choice(["service", "pod"]), "help": "A ServiceMonitor or a PodMonitor."}),
    (("--graph",), {"metavar": "NAME", "help": "With --kind seldon: all DIRECTORIES as one graph."}),
    (("--data",), {"metavar": "pvc:CLAIM", "help": "Training: what the model learns from."}),
    (("--payload",), {"metavar": "JSON", "help": "Training: msg.payload."}),
    (("--workers",), {"type": _NUMBER, "default": 1, "show_default": True, "help": "Training: pods of one run."}),
    (("--schedule",), {"metavar": "CRON", "help": "With --kind cronjob: '0 3 * * *'."}),
    (("--runtime",), {"default": "torch-distributed", "show_default": True, "help": "The TrainJob's runtime."}),
    (("--fs-group",), {"type": int, "default": 1001, "show_default": True, "help": "Training: of claims; 0: none."}),
)


def render_options(command: Command) -> Command:
    """Every option that says what is rendered."""
    for names, options in reversed(_OPTIONS):
        command = click.option(*names, **options)(command)
    return command


@click.command("manifests")
@click.argument("directories", nargs=-1, type=click.Path())
@click.option("--kind", type=click.Choice(KINDS), default="deployment", show_default=True, help="What to render.")
@render_options
@variables_option
@click.option(
    "-o", "--output", type=click.Path(), help="A file, or a folder (a / at its end). Default: standard output."
)
@click.option("--kustomize", is_flag=True, help="Write a base, and an overlay that is yours, into the folder -o.")
@click.option("--kubernetes", metavar="VERSION", help="The cluster's version: 1.31. Default: the newest that is known.")
@click.option("--measure", metavar="URL", help="First ask the daemon that runs at URL how it does, and keep that.")
@click.option(
    "--check", "checked", multiple=True, type=click.Path(), help="Render nothing; validate this file or folder."
)
@pass_settings
def manifests_command(settings: Settings, /, **options: Any) -> None:
    """Write the Kubernetes objects of DIRECTORIES, validated strictly: no unknown field, no wrong type leaves here.

    A DIRECTORY is a model directory, a project or its all/, or projects/ for the daemon of all. Images are written by
    their digest. How long a pod may take to start, and its memory, come from what --measure found.
    """
    from modelyard.manifests.validation import check_all, choose_version

    if options["checked"]:
        _check(settings, options)
        return
    if options["kustomize"] and options["output"] is None:
        raise click.UsageError("--kustomize writes several files: name a folder with -o")
    version = choose_version(options["kubernetes"])
    request = ask(settings, options)
    if options["measure"] is not None:
        _measure(request, options["measure"])
    from modelyard.commands.manifests import render

    rendered = render(request, settings.environ)
    check_all(rendered.manifests, version=version)
    for note in rendered.notes:
        click.secho("note:  ", fg="cyan", err=True, nl=False)
        click.echo(note, err=True)
    _write(settings, rendered.manifests, options)


def ask(settings: Settings, options: dict[str, Any]) -> "ManifestRequest":
    """What the command asks for."""
    from modelyard.cli.models import parse_payload
    from modelyard.commands.manifests import ManifestRequest
    from modelyard.commands.pinning import ImageChoice
    from modelyard.commands.subject import find_subject

    workspace = settings.workspace
    subjects = [find_subject(workspace, settings.locate(path)) for path in options["directories"] or (".",)]
    unique = {subject.full_name: subject for subject in subjects}
    gpus = options["gpus"]
    return ManifestRequest(
        workspace=workspace,
        subjects=tuple(unique.values()),
        kind=options["kind"],
        image=ImageChoice(
            **{name: options[name] for name in ("image", "registry", "tag", "allow_tag", "insecure")},
        ),
        environment=parse_variables(options["variables"]),
        gpus=gpus if gpus is not None else int(options["variant"] == "cuda"),
        most_replicas=options["max_replicas"],
        tls_secret=options["tls"],
        tokens_secret=options["tokens"],
        payload=parse_payload(options["payload"]),
        **{
            name: options[name]
            for name in (
                *("name", "namespace", "cpu", "memory", "models", "models_secret", "pull_secret", "replicas"),
                *("prometheus", "host", "ingress_class", "gateway", "monitor", "graph", "data", "workers", "schedule"),
                *("runtime", "fs_group"),
            )
        },
    )


def _measure(request: "ManifestRequest", url: str) -> None:
    from modelyard.commands.manifests import measured_path
    from modelyard.commands.measuring import measure_daemon

    if len(request.subjects) > 1:
        raise click.UsageError(f"--measure asks one daemon, but {len(request.subjects)} are to be rendered")
    subject = request.subjects[0]
    measured = measure_daemon(subject, url)
    memory = f"{measured.memory_bytes / 2**20:.0f} MiB" if measured.memory_bytes is not None else "not told"
    click.echo(
        f"measured: {measured.seconds:.1f} s to load, memory {memory}; kept in {measured_path(subject)}", err=True
    )


def _check(settings: Settings, options: dict[str, Any]) -> None:
    from modelyard.commands.validating import check_files

    paths = [settings.path(path) for path in options["checked"]]
    count = check_files(paths, version=options["kubernetes"], environ=settings.environ)
    click.echo(f"{count} objects, all as they should be")


def _write(settings: Settings, manifests: "Sequence[Manifest]", options: dict[str, Any]) -> None:
    from modelyard.manifests.documents import write_documents

    output = options["output"]
    if output is None:
        click.echo(write_documents(manifests), nl=False)
        return
    path = settings.path(output)
    if not options["kustomize"] and not output.endswith("/") and not path.is_dir():
        path.write_text(write_documents(manifests), encoding="utf-8")
        click.echo(path)
        return
    for written in _write_folder(path, manifests, kustomize=options["kustomize"]):
        click.echo(written)


def _write_folder(folder: Path, manifests: "Sequence[Manifest]", *, kustomize: bool) -> list[Path]:
    """Write a file for each object; an overlay that is there already is the user's."""
    from modelyard.manifests.kustomize import OVERLAY, lay_out, lay_out_flat

    written = []
    for name, text in (lay_out(manifests) if kustomize else lay_out_flat(manifests)).items():
        path = folder / name
        if name == OVERLAY and path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
