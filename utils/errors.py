"""The one exception of this package."""


class ModelBinaryError(Exception):
    """Say what is wrong with which file; `hint` says what to do next.

    No ValueError on purpose: those mean that a request is wrong, and a request can't help a broken model binary.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"
