"""What is wrong with a training, for the person who started it."""


class KubeError(Exception):
    """Say what is wrong where; `hint` says what to do next. No ValueError: in a daemon those mean a wrong request."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"
