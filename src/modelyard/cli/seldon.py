"""`modelyard seldon` and `modelyard k8s`: a class behind Seldon, and the secrets that its cluster needs."""

from typing import TYPE_CHECKING

import click

from modelyard.cli.options import pass_settings
from modelyard.cli.settings import Settings

if TYPE_CHECKING:
    from modelyard.manifests.documents import Manifest


@click.group("seldon")
def seldon_command() -> None:
    """A model class behind Seldon: its files, and its deployment."""


@seldon_command.command("init-package")
@click.argument("path", default=".", type=click.Path())
@click.option("--force", is_flag=True, help="Write over files that are there.")
@pass_settings
def init_package_command(settings: Settings, path: str, force: bool) -> None:
    """Write a model class and the Dockerfile that serves it into the folder PATH, beside what is there."""
    from modelyard.codegen.seldon_package import write_package

    for file, written in write_package(settings.path(path), force=force):
        click.echo(f"{file}{'' if written else ' (kept as it is)'}")


@seldon_command.command("generate-deployment")
@click.option("--name", default="neuro-model", show_default=True, help="The deployment's name.")
@click.option(
    "--neuro-secret", default="neuro", show_default=True, help="The store's credentials: k8s generate-secret."
)
@click.option(
    "--registry-secret",
    default="neuro-registry",
    show_default=True,
    help="The registry's credentials: k8s generate-registry-secret.",
)
@click.argument("image", metavar="IMAGE")
@click.argument("storage", metavar="STORAGE_URI")
def generate_deployment_command(name: str, neuro_secret: str, registry_secret: str, image: str, storage: str) -> None:
    """Print the SeldonDeployment of IMAGE, with what STORAGE_URI names (s3://... or storage:...) below /storage."""
    from modelyard.manifests.names import check_label
    from modelyard.manifests.package import make_package_deployment

    check_label(name, what="--name")
    made = make_package_deployment(
        name=name, image=image, storage=storage, storage_secret=neuro_secret, registry_secret=registry_secret
    )
    _print(made)


@click.group("k8s")
def k8s_command() -> None:
    """Secrets for a cluster, to standard output and nowhere else."""


@k8s_command.command("generate-secret")
@click.option("--name", default="neuro", show_default=True, help="The secret's name.")
@pass_settings
def generate_secret_command(settings: Settings, name: str) -> None:
    """Print a secret of the store's credentials: the AWS_ variables, and the files of Neu.ro's configuration."""
    from modelyard.commands.secrets import store_secret
    from modelyard.manifests.names import check_label

    _print(store_secret(check_label(name, what="--name"), settings.environ))


@k8s_command.command("generate-registry-secret")
@click.option("--name", default="neuro-registry", show_default=True, help="The secret's name.")
@click.argument("hosts", nargs=-1, metavar="[HOST...]")
@pass_settings
def generate_registry_secret_command(settings: Settings, name: str, hosts: tuple[str, ...]) -> None:
    """Print a secret to pull images with, of the docker configuration: all its registries, or those named."""
    from modelyard.commands.secrets import registry_secret
    from modelyard.manifests.names import check_label

    _print(registry_secret(check_label(name, what="--name"), hosts, settings.environ))


def _print(manifest: "Manifest") -> None:
    """Validate an object, then print it."""
    from modelyard.manifests.documents import write_documents
    from modelyard.manifests.validation import check_all, choose_version

    check_all([manifest], version=choose_version(None))
    click.echo(write_documents([manifest]), nl=False)
