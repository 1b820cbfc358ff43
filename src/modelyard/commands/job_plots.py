"""Histories as pictures, and as the event files of TensorBoard; each by a library that is loaded on use."""

from collections.abc import Sequence
from pathlib import Path

from modelyard.errors import InputError, ModelyardError
from modelyard.jobs.history import History

PANELS = {
    "loss": (("train_loss", "training"), ("validation_loss", "validation")),
    "accuracy": (("accuracy", ""),),
    "parallelism": (("parallelism", ""),),
    "time of an epoch (s)": (("seconds", ""),),
}
_TAGS = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "accuracy": "accuracy",
    "parallelism": "parallelism",
    "seconds": "epoch_duration",
}
_COLORS = ("#1f6feb", "#d1570b", "#1a7f37", "#8250df", "#bf3989", "#57606a")


def plot_histories(histories: Sequence[History], path: Path) -> None:
    """Draw loss, accuracy, parallelism and time of an epoch into one picture; its suffix is its format."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise _lack("a picture", "matplotlib", "plot") from None
    figure = Figure(figsize=(10, 7), dpi=120, layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
        axes.set_title(title, loc="left", fontsize=11)
        axes.grid(visible=True, alpha=0.3)
        for index, history in enumerate(histories):
            for (column, name), style in zip(lines, ("-", "--"), strict=False):
                label = " ".join(part for part in (history.job.id, name) if part)
                axes.plot(*history.points(column), style, marker=".", color=_COLORS[index % 6], label=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8, frameon=False)
    figure.supxlabel("epoch", fontsize=10)
    try:
        figure.savefig(path)
    except ValueError as error:
        raise InputError(f"{path}: {error}", hint="name it .png, .svg or .pdf") from None


def write_tensorboard(history: History, folder: Path) -> None:
    """Write a history as an event file that TensorBoard reads, below `folder` in one of the job's id."""
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        raise _lack("an event file", "tensorboardX", "tensorboard") from None
    with SummaryWriter(str(folder / history.job.id)) as writer:
        for epoch in history.events.epochs:
            for column, tag in _TAGS.items():
                value = epoch.get(column)
                if value is not None:
                    writer.add_scalar(tag, value, global_step=epoch["epoch"], walltime=epoch.get("time"))


def _lack(what: str, package: str, extra: str) -> ModelyardError:
    return ModelyardError(f"{what} needs {package}, which is not installed", hint=f"pip install 'modelyard[{extra}]'")
