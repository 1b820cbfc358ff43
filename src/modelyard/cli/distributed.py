"""Options of `modelyard train` for models that kubeml trains: they become keys of the payload."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

Command = Callable[..., Any]

_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("parallelism", int, "Workers to begin with. Default: 1."),
    ("k", int, "Steps of a worker between two averagings; -1 is once an epoch, the default."),
    ("epochs", int, "Passes over the data. Default: 1."),
    ("batch", int, "Rows of a worker's step. Default: 64."),
    ("lr", float, "The learning rate. Default: 0.01."),
    ("validate-every", int, "Epochs between two validations; 0 is after the last only. Default: 1."),
    ("goal-accuracy", float, "End when validation gets this far."),
    ("seed", int, "What order, batches and weights follow from. Default: 0."),
    ("sync", click.Choice(["average", "ddp"]), "Average weights every K steps, or gradients every step."),
    ("average", click.Choice(["weighted", "plain"]), "By the samples of each worker, or the mean."),
    ("warm-up", int, "Epochs at the start that average after every step."),
    ("outer-lr", float, "Learning rate of an outer optimizer on the averages (DiLoCo)."),
    ("outer-momentum", float, "Its momentum. Default: 0.9."),
)
_FLAGS = (
    ("static", "Keep the number of workers. Default: one more while that pays, one fewer where it costs."),
    ("reset-optimizer", "Forget the optimizers' state at each averaging."),
    ("fresh", "Begin anew where a training that was stopped or killed could go on."),
)


def distributed_options(command: Command) -> Command:
    """What kubeml is told, as the command's `distributed`: only what was typed."""

    @wraps(command)
    def told(*arguments: Any, **options: Any) -> Any:
        names = [name.replace("-", "_") for name, *_ in (*_OPTIONS, *_FLAGS)]
        typed = {name: value for name in names if (value := options.pop(name)) is not None}
        return command(*arguments, distributed=typed, **options)

    decorated: Command = told
    for name, text in reversed(_FLAGS):
        decorated = click.option(f"--{name}", is_flag=True, default=None, help=f"kubeml: {text}")(decorated)
    for name, kind, text in reversed(_OPTIONS):
        decorated = click.option(f"--{name}", type=kind, help=f"kubeml: {text}")(decorated)
    return decorated
