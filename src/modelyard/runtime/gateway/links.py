"""The event loop's side of the Unix sockets to the models' workers: many requests at once on one connection."""

import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard.runtime.daemon.channels import NonsenseError, check_answer
from modelyard.runtime.daemon.taken import read_taken
from modelyard.runtime.daemon.wire import Frame, FrameReader, WireError, encode_frame
from modelyard.runtime.gateway.client import (
    NUMBERS,
    ClientGoneError,
    NoAnswerError,
    NotConnectedError,
    pid_of,
    watch_end,
)

_CHUNK = 1 << 18
_MAX_ANSWER = (1 << 32) - 1
Outcome = Frame | Exception


class Call:
    """A request on its way to a worker; `finish` gets the answer, or the exception that stands for none."""

    __slots__ = ("body", "deadline", "finish", "header", "holder", "number")

    def __init__(
        self, header: dict[str, Any], body: bytes, finish: Callable[[Outcome], None], *, deadline: float
    ) -> None:
        self.header = header
        self.body = body
        self.finish = finish
        self.deadline = deadline
        self.number = 0
        self.holder: Link | Backend | None = None

    def cancel(self) -> None:
        """Tell the worker that nobody waits any more; a call that has ended stays as it is."""
        if self.holder is not None and self.holder.cancel(self):
            self.finish(ClientGoneError())


class Backend:
    """The workers of one model: each call goes to the one with the fewest calls at hand.

    Calls that a worker had not begun when it ended wait here for the next one.
    """

    def __init__(
        self,
        paths: list[Path],
        selector: selectors.BaseSelector,
        *,
        limit: int,
        unsent: list["Link"],
        accuse: Callable[[str, str], None] = lambda pid, why: None,
    ) -> None:
        """`limit` bounds the calls at hand of each worker: the worker itself has the last word on its queue.

        `unsent` gets the connections that have something to be flushed, `accuse` the process of a worker that answers
        nonsense, and what that was.
        """
        self._paths = paths
        self._selector = selector
        self._limit = limit
        self._unsent = unsent
        self._accuse = accuse
        self._links: dict[Path, Link] = {}
        self._retiring: set[Link] = set()
        self._waiting: list[Call] = []

    @property
    def has_waiting(self) -> bool:
        """Tell whether calls wait for a worker."""
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Tell whether no worker can take another call."""
        if len(self._links) < len(self._paths):
            return False
        return all(len(link.calls) >= self._limit for link in self._links.values())

    def send(self, call: Call) -> None:
        """Send a call; raise NotConnectedError where no worker listens."""
        for path in sorted(self._paths, key=self._count_calls) if len(self._paths) > 1 else self._paths:
            try:
                link = self._links.get(path) or self._connect(path)
            except OSError:
                continue
            link.send(call)
            return
        raise NotConnectedError("no worker listens")

    def send_waiting(self, *, in_vain: bool) -> None:
        """Send the calls that wait for a worker, as far as one listens; `in_vain`, end the others."""
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            try:
                self.send(call)
            except NotConnectedError as error:
                if in_vain:
                    call.finish(error)
                else:
                    self._waiting.append(call)

    def cancel(self, call: Call) -> bool:
        """Forget a call that waits for a worker; tell whether it did."""
        is_waiting = call in self._waiting
        self._waiting = [one for one in self._waiting if one is not call]
        return is_waiting

    def end_overdue(self, now: float) -> None:
        """End the calls whose time is up."""
        for link in [*self._links.values(), *self._retiring]:
            for call in [call for call in link.calls.values() if now >= call.deadline]:
                link.cancel(call)
                call.finish(TimeoutError())
        for call in [call for call in self._waiting if now >= call.deadline]:
            self.cancel(call)
            call.finish(TimeoutError())

    def close(self) -> None:
        """Close every connection."""
        for link in [*self._links.values(), *self._retiring]:
            link.close()

    def _count_calls(self, path: Path) -> int:
        link = self._links.get(path)
        return len(link.calls) if link is not None else 0

    def _connect(self, path: Path) -> "Link":
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            sock.connect(str(path))
            life = watch_end(sock.getpeername())
        except OSError:
            sock.close()
            raise
        link = self._links[path] = Link(
            sock,
            life,
            self._selector,
            self._unsent,
            on_bye=lambda link: self._retire(path, link),
            on_end=lambda link, untaken: self._forget(path, link, untaken),
            accuse=self._accuse,
        )
        return link

    def _retire(self, path: Path, link: "Link") -> None:
        if self._links.get(path) is link:
            del self._links[path]
            self._retiring.add(link)

    def _forget(self, path: Path, link: "Link", untaken: list[Call]) -> None:
        self._retiring.discard(link)
        if self._links.get(path) is link:
            del self._links[path]
        for call in untaken:
            call.holder = self
        self._waiting += untaken


class Link:
    """One connection to a worker, with the calls that wait for their answers."""

    def __init__(
        self,
        sock: socket.socket,
        life: int | None,
        selector: selectors.BaseSelector,
        unsent: list["Link"],
        *,
        on_bye: Callable[["Link"], None],
        on_end: Callable[["Link", list[Call]], None],
        accuse: Callable[[str, str], None],
    ) -> None:
        """`life` can be read once the worker has ended: a process that it has started may keep the connection."""
        self.calls: dict[int, Call] = {}
        self._sock = sock
        self._life = life
        self._selector = selector
        self._unsent = unsent
        self._on_bye = on_bye
        self._on_end = on_end
        self._accuse = accuse
        self._reader = FrameReader(max_body=_MAX_ANSWER)
        self._address = sock.getpeername()
        self._out: list[bytes] = []
        self._is_retiring = False
        self._is_stuck = False
        selector.register(sock, selectors.EVENT_READ, self._handle)
        if life is not None:
            selector.register(life, selectors.EVENT_READ, self._end)

    def send(self, call: Call) -> None:
        """Take a call; it leaves with the next flush."""
        call.number = next(NUMBERS)
        call.holder = self
        timeout = max(0.0, call.deadline - time.monotonic())
        if not self._out:
            self._unsent.append(self)
        self._out.append(encode_frame({**call.header, "n": call.number, "timeout": timeout}, call.body))
        self.calls[call.number] = call

    def cancel(self, call: Call) -> bool:
        """Forget a call, and have the worker forget it; tell whether it was still at hand."""
        is_at_hand = self.calls.pop(call.number, None) is not None
        if is_at_hand:
            self._out.append(encode_frame({"cancel": call.number}))
            self.flush()
        self._end_when_idle()
        return is_at_hand

    def flush(self) -> None:
        """Send as much as the socket takes."""
        if not self._out:
            return
        data = b"".join(self._out)
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(data)  # the end of the connection is read next, and tells every call
        self._out = [data[sent:]] if sent < len(data) else []
        if self._is_stuck != bool(self._out):
            self._is_stuck = bool(self._out)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._is_stuck else 0)
            self._selector.modify(self._sock, events, self._handle)

    def close(self) -> None:
        """End the connection; calls that wait get no answer any more, but for those that the worker had not begun."""
        if self._sock.fileno() < 0:
            return
        self._selector.unregister(self._sock)
        self._sock.close()
        if self._life is not None:
            self._selector.unregister(self._life)
            os.close(self._life)
        calls, self.calls = self.calls, {}
        taken = read_taken(self._address) if calls else None
        untaken = [] if taken is None else [call for number, call in calls.items() if number not in taken]
        self._on_end(self, untaken)
        for number, call in calls.items():
            if taken is None or number in taken:
                call.finish(NoAnswerError("the connection was closed", pid=pid_of(self._address)))

    def _handle(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self.flush()
            self._end_when_idle()
        if events & selectors.EVENT_READ:
            self._read()

    def _read(self) -> bool:
        """Take what has come; tell whether there was something."""
        try:
            data = self._sock.recv(_CHUNK)
            self._reader.feed(data)
            while (frame := self._reader.next_frame()) is not None:
                self._take(frame)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        except (WireError, NonsenseError) as error:
            self._accuse(pid_of(self._address), str(error))
            data = b""
        if not data:
            self.close()
        return bool(data)

    def _end(self, _: int) -> None:
        """The worker has ended: what it had sent is all that comes."""
        while self._read():
            pass
        self.close()

    def _take(self, frame: Frame) -> None:
        check_answer(frame.header)
        if "bye" in frame.header:
            self._is_retiring = True
            self._on_bye(self)
        else:
            call = self.calls.pop(frame.header["n"], None)
            if call is not None:
                call.finish(frame)
        self._end_when_idle()

    def _end_when_idle(self) -> None:
        if self._is_retiring and not self.calls and not self._out:
            self.close()
