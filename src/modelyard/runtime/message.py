"""What a train or predict function is called with."""


class Message:
    """`payload` is what the client sent: the request's payload, or the train run's PAYLOAD."""

    def __init__(self, payload: object) -> None:
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.payload == other.payload

    __hash__ = None  # type: ignore[assignment]  # a payload is a dict or a list

    def __repr__(self) -> str:
        return f"Message(payload={self.payload!r})"
