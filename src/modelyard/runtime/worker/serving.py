"""A worker's main thread: takes requests, has those that may share a call share it, sends the answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from modelyard.runtime.primitives import monotonic
from modelyard.runtime.values import from_json_bytes, open_envelope, to_json_bytes
from modelyard.runtime.worker.batching import Call, MismatchError, Plan
from modelyard.runtime.worker.inbox import Answer, Connection, Inbox, Job

_MISMATCHES = 3
_SOON = 0.005


class Route:
    """A route's function, in the forms in which it is called; `plan` is None where requests share no call."""

    def __init__(
        self,
        answer: Callable[[Job], tuple[Mapping[str, Any], bytes]],
        *,
        call: Call,
        size: int = 1,
        wait: float = 0.0,
        timeout: float = float("inf"),
    ) -> None:
        """`answer` answers one request; `call` turns a payload into the answer's, as JSON holds it."""
        self.answer = answer
        self.call = call
        self.plan: Plan | None = None
        self.unbatched: str | None = None
        """Why requests share no call; None where they do."""
        self.answer_schema: dict[str, Any] = {}
        """The JSON Schema of its answer to the test instances; empty where there is none."""
        self.fails = False
        """Whether the test instances are more than it can take."""
        self.size = size
        self.wait = wait
        self.timeout = timeout
        """Seconds that a call may take."""
        self._mismatches = 0

    def count_mismatch(self, error: MismatchError) -> None:
        """Stop sharing calls when their answers keep having another form than at warm-up."""
        self._mismatches += 1
        if self._mismatches >= _MISMATCHES:
            self.plan = None
            self.unbatched = f"{error}, while serving"


class Decoded:
    """A request that may share a call: its rows, and whether it came in an envelope."""

    def __init__(self, job: Job, payload: Mapping[str, Any], kind: Hashable, *, enveloped: bool) -> None:
        self.job = job
        self.payload = payload
        self.kind = kind
        self.enveloped = enveloped
        self.count = len(payload["instances"])


class Server:
    """Answers what comes into `inbox` until there will be no more."""

    def __init__(
        self,
        inbox: Inbox,
        routes: Mapping[str, Route],
        running: Callable[[float], AbstractContextManager[None]],
        count_call: Callable[[str, int, float], None],
        show_taken: Callable[[Sequence[int]], None],
        tell_unbatched: Callable[[str, str], None],
    ) -> None:
        """`running(seconds)` is entered while a model computes, for so long at most.

        `count_call` gets a call's route, requests and seconds; `show_taken` the numbers of the requests that a call is
        begun for; `tell_unbatched` the route whose requests share no more calls, and why.
        """
        self._inbox = inbox
        self._routes = routes
        self._running = running
        self._count_call = count_call
        self._show_taken = show_taken
        self._tell_unbatched = tell_unbatched
        self._shared = 1
        self._ended = 0.0

    def run(self) -> None:
        """Answer requests until there will be no more."""
        while (job := self._inbox.take()) is not None:
            route = self._routes.get(job.header["route"])
            if route is None:
                detail = f"there is no route {job.header['route']!r} here"
                job.connection.send([Answer(job, {"status": 404, "detail": detail})])
                continue
            first = self._decode(job) if self._shared > 1 or self._inbox.has_more() else None
            if first is None:
                self._answer_alone(route, job)
            else:
                self._answer_together(route, self._gather(route, first))

    def _answer_alone(self, route: Route, job: Job) -> None:
        if job.is_wanted:
            started = monotonic()
            self._show_taken([job.number])
            with self._running(route.timeout):
                header, body = route.answer(job)
            self._count_call(job.header["route"], 1, monotonic() - started)
            job.connection.send([Answer(job, header, body)])
        self._shared = 1

    def _answer_together(self, route: Route, batch: Sequence[Decoded]) -> None:
        parts = self._call(route, batch) if len(batch) > 1 else None
        if parts is None:
            for one in batch:
                self._answer_alone(route, one.job)
            self._shared = len(batch)
            return
        by_connection: dict[Connection, list[Answer]] = {}
        for one, part in zip(batch, parts):
            content = to_json_bytes(part)
            body = b'{"payload":%b}' % content if one.enveloped else content
            answer = Answer(one.job, {"status": 200, "batch": len(batch)}, body)
            by_connection.setdefault(one.job.connection, []).append(answer)
        for connection, answers in by_connection.items():
            connection.send(answers)
        self._shared, self._ended = len(batch), monotonic()

    def _call(self, route: Route, batch: Sequence[Decoded]) -> list[Any] | None:
        """The parts of one call's answer; None where each request has to be called by itself."""
        plan = route.plan
        if plan is None:
            return None
        started = monotonic()
        self._show_taken([one.job.number for one in batch])
        try:
            with self._running(route.timeout):
                answer = route.call(plan.join([one.payload for one in batch]))
            self._count_call(batch[0].job.header["route"], len(batch), monotonic() - started)
            return plan.split(answer, [one.count for one in batch])
        except MismatchError as error:
            route.count_mismatch(error)
            if route.unbatched is not None:
                self._tell_unbatched(batch[0].job.header["route"], route.unbatched)
        except BaseException:
            # One of them is bad, or the model fails for all: called singly, each gets its own answer.
            pass
        return None

    def _gather(self, route: Route, first: Decoded) -> list[Decoded]:
        """The requests that wait and can share the first one's call.

        After a shared call, those who were answered are about to ask again: a little wait then saves a call. A lone
        request never waits.
        """
        batch = [first]
        rows = first.count
        name = first.job.header["route"]

        def accept(job: Job) -> bool:
            nonlocal rows
            one = self._decode(job) if job.header["route"] == name else None
            if one is None or one.kind != first.kind or rows + one.count > route.size:
                return False
            rows += one.count
            batch.append(one)
            return True

        self._inbox.offer_waiting(accept)
        now = monotonic()
        until = now + route.wait if now - self._ended < _SOON else now
        while len(batch) < self._shared and rows < route.size and (left := until - monotonic()) > 0.0:
            self._inbox.offer_waiting(accept, wait=left)
        return batch

    def _decode(self, job: Job) -> Decoded | None:
        """The request's rows; None where it keeps its own call."""
        plan = self._routes[job.header["route"]].plan
        if plan is None or "protocol" in job.header:
            return None
        if job.decoded is job:
            job.decoded = decode(job, plan)
        return job.decoded  # type: ignore[no-any-return]


def decode(job: Job, plan: Plan) -> Decoded | None:
    """Read a request as one that can share a call; None where it is another, no JSON, or nested too deep."""
    try:
        payload, enveloped = open_envelope(from_json_bytes(job.body))
        kind = plan.find_kind(payload)
    except (ValueError, RecursionError):
        return None
    return None if kind is None else Decoded(job, payload, kind, enveloped=enveloped)
