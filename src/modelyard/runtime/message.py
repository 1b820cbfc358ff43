"""What a train or predict function is called with."""

from __future__ import annotations


class Message:
    """`payload` is what the client sent: the request's payload, or the train run's PAYLOAD.

    `request_id` and `traceparent` (W3C Trace Context) are those of the request, None where the call is for several.
    """

    def __init__(self, payload: object, *, request_id: str | None = None, traceparent: str | None = None) -> None:
        self.payload = payload
        self.request_id = request_id
        self.traceparent = traceparent

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.payload == other.payload

    __hash__ = None  # type: ignore[assignment]  # a payload is a dict or a list

    def __repr__(self) -> str:
        return f"Message(payload={self.payload!r})"
