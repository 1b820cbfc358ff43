"""`modelyard dataset`: the data sets of a project, as a KubeDataset opens them."""

from pathlib import Path

import click

from modelyard.cli.console import Console, format_size, print_json, print_table
from modelyard.cli.options import json_option, pass_settings, project_option
from modelyard.cli.settings import Settings


@click.group("dataset")
def dataset_command() -> None:
    """Make, list and delete data sets of arrays, which `KubeDataset(name)` opens.

    They lie in a project's data/, in a folder each. The project is --project, else that of the current folder, else the
    only one there is.
    """


@dataset_command.command("create")
@click.option("-n", "--name", required=True, help="What KubeDataset(name) says.")
@click.option("--traindata", required=True, metavar="FILE", help="The samples to train on.")
@click.option("--trainlabels", required=True, metavar="FILE", help="Their labels.")
@click.option("--testdata", required=True, metavar="FILE", help="The samples to validate with.")
@click.option("--testlabels", required=True, metavar="FILE", help="Their labels.")
@project_option
@pass_settings
def create_command(settings: Settings, /, name: str, project: str | None, **files: str) -> None:
    """Make a data set of four files of arrays.

    Files are .npy, .npz, IDX, or .pkl of arrays, each also as .gz, here or at s3://BUCKET/KEY; of an .npz with several
    arrays, FILE.npz:NAME is one.
    """
    create_in(settings, _data_folder(settings, project), name, files)


def create_in(settings: Settings, folder: Path, name: str, files: dict[str, str]) -> None:
    """Make a data set in a project's data/; `files` are the four options."""
    from modelyard.commands.datasets import DataSetRequest, create_dataset

    sources = {f"{part}-{kind}": files[f"{part}{kind}"] for part in ("train", "test") for kind in ("data", "labels")}
    request = DataSetRequest(name=name, folder=folder, sources=sources, start=settings.directory)
    click.echo(create_dataset(request, Console(verbose=settings.verbose)).path)


@dataset_command.command("list")
@project_option
@json_option
@pass_settings
def list_command(settings: Settings, project: str | None, as_json: bool) -> None:
    """List the data sets of a project."""
    list_in(_data_folder(settings, project), as_json=as_json)


def list_in(folder: Path, *, as_json: bool) -> None:
    """List the data sets of a project's data/."""
    from modelyard.datasets.library import describe, find_datasets

    found = find_datasets(folder)
    if as_json:
        print_json(describe(found))
        return
    rows = [
        [
            dataset.path.name,
            *(str(dataset.manifest[part].get("samples", "")) for part in ("train", "test")),
            "x".join(str(size) for size in dataset.manifest["train"].get("shape", ())) or "one number",
            str(dataset.manifest["train"].get("dtype", "")),
            format_size(dataset.size),
        ]
        for dataset in found
    ]
    print_table(["name", "train", "test", "sample", "type", "size"], rows)


@dataset_command.command("delete")
@click.option("-n", "--name", required=True, help="Which one.")
@project_option
@pass_settings
def delete_command(settings: Settings, name: str, project: str | None) -> None:
    """Delete a data set."""
    delete_in(_data_folder(settings, project), name)


def delete_in(folder: Path, name: str) -> None:
    """Delete one of a project's data/."""
    from modelyard.datasets.library import remove_dataset

    click.echo(remove_dataset(folder, name))


def _data_folder(settings: Settings, project: str | None) -> Path:
    from modelyard.commands.subject import choose_project

    return choose_project(settings.workspace, project, start=settings.directory) / "data"
