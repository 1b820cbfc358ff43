"""Whatever comes over a channel is a message of it, or is refused with a reason: nothing else ends who reads it."""

import json
import math
import os
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.daemon.channels import (
    NonsenseError,
    check_answer,
    check_request,
    clean_count,
    is_metric,
    parse_fork_news,
    parse_news,
    parse_order,
    parse_order_answer,
    parse_statuses,
    read_clock,
    read_shared,
)
from modelyard.runtime.daemon.counters import read_doubles
from modelyard.runtime.daemon.status import STATUS_FILE, ModelStatus, read_status
from modelyard.runtime.daemon.taken import read_taken
from modelyard.runtime.daemon.wire import FrameReader, WireError
from modelyard.runtime.supervisor.lines import LineBuffer

MESSAGES = int(os.environ.get("FUZZ_MESSAGES", "100000"))
READY = {
    "state": "ready",
    "seconds": 0.5,
    "modules": ["numpy"],
    "files": {"/models/a.bin": [1, 2, 3], "/models/b.bin": None},
    "answered": ["a"],
    "unbatched": {"a": None},
    "answers": {"a": {"type": "array", "items": {"type": "number"}}},
}
NEWS = [READY, {"state": "alive"}, {"state": "failed", "reason": "no"}]
NEWS += [{"state": "unbatched", "route": "a", "reason": "it differs"}]
FORK_NEWS = [{"forked": 7}, {"exit": 7, "code": -9}, {"preloaded": True}, {"refused": "a thread"}]
ORDERS = [{"do": "reload", "model": "m"}, {"do": "end", "model": "m", "pid": 7, "why": "nonsense"}]
ANSWERS = [{"n": 7, "status": 200, "batch": 2}, {"n": 7, "status": 429, "detail": "wait", "retry_after": 1}]
REQUESTS = [{"n": 7, "route": "a", "timeout": 1.5, "id": "x"}, {"cancel": 7}]
STATUSES = [{"models": [asdict(ModelStatus(name="m", state="ready", pid=7, pids=[7], answers={"a": {}}))]}]
FRAME_KEYS = {key for message in [*ANSWERS, *REQUESTS] for key in message} | {"log", "traceparent", "method"}
ODD = [None, True, 0, -1, 1 << 80, 10**400, math.nan, math.inf, -math.inf, 1e308, 0.5, "", "x" * 5000, "\0", "\ud800"]
ODD += ["a", [], [1], [[]], {}, {"a": 1}, {"": None}]
DEEP = "[" * 100_000


def read(text: str) -> Any:
    return parse_news(text, ["a"], is_ready=False, is_asked=True)


def read_late(text: str) -> Any:
    return parse_news(text, ["a"], is_ready=True, is_asked=False)


def read_frame(check: Callable[[Any], None]) -> Callable[[str], Any]:
    def take(text: str) -> Any:
        header = text.encode(errors="surrogatepass")
        reader = FrameReader(max_body=8)
        reader.feed(struct.pack("!II", len(header), 0) + header)
        frame = reader.next_frame()
        if frame is None:
            raise WireError("half a frame")
        check(frame.header)
        return {key: frame.header[key] for key in FRAME_KEYS if key in frame.header}

    return take


CHANNELS: dict[str, tuple[list[dict[str, Any]], Callable[[str], Any]]] = {
    "news": (NEWS, read),
    "late news": (NEWS, read_late),
    "fork news": (FORK_NEWS, parse_fork_news),
    "orders": (ORDERS, parse_order),
    "answers to orders": (
        [{"error": None}, {"error": "no"}],
        lambda text: parse_order_answer(text.encode(errors="replace")),
    ),
    "answers": (ANSWERS, read_frame(check_answer)),
    "requests": (REQUESTS, read_frame(check_request)),
    "status": (STATUSES, lambda text: parse_statuses(text.encode(errors="replace"))),
}


def spoil(value: Any, chance: random.Random) -> Any:
    """The value with something else somewhere in it."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        changed = {**value, key: spoil(value[key], chance)}
        if chance.random() < 0.2:
            del changed[key]
        return changed
    if isinstance(value, list) and value and chance.random() < 0.7:
        place = chance.randrange(len(value))
        return [*value[:place], spoil(value[place], chance), *value[place + 1 :]]
    return chance.choice(ODD)


def write_messages(messages: list[dict[str, Any]], count: int, seed: int) -> Iterator[str]:
    """So many messages: spoilt ones, cut ones, and what is no JSON at all."""
    chance = random.Random(seed)
    for _ in range(count):
        text = json.dumps(spoil(chance.choice(messages), chance))
        kind = chance.random()
        if kind < 0.1:
            place = chance.randrange(len(text) + 1)
            text = text[:place] + chr(chance.randrange(1, 0x2FF)) + text[place + 1 :]
        elif kind < 0.2:
            text = text[: chance.randrange(len(text) + 1)]
        elif kind < 0.25:
            text = "".join(chr(chance.randrange(0x100)) for _ in range(chance.randrange(40)))
        yield text


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_message_is_taken_or_refused_with_a_reason_whatever_it_is(channel: str) -> None:
    messages, take = CHANNELS[channel]
    refused = 0
    count = MESSAGES // len(CHANNELS)
    for text in write_messages(messages, count, seed=len(channel)):
        try:
            taken = take(text)
        except (NonsenseError, WireError) as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 300
            refused += 1
        else:
            assert json.loads(json.dumps(taken, allow_nan=False)) == taken  # nothing that others could not read
    assert 0.2 * count < refused < count


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_said_in_truth_is_taken(channel: str) -> None:
    messages, take = CHANNELS[channel]
    late = {"late news": [NEWS[3]]}
    early = {"news": NEWS[:3]}
    for message in {**late, **early}.get(channel, messages):
        take(json.dumps(message))


@pytest.mark.parametrize(
    "text", ["garbage", "[1]", "{}", "null", DEEP, '{"state": 1}', '{"state": []}', "1" * 5000, ""]
)
def test_what_is_no_news_is_named_in_one_short_line(text: str) -> None:
    with pytest.raises(NonsenseError) as error:
        read(text)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": math.nan},
        {"seconds": -1.0},
        {"seconds": 1e300},
        {"files": {"/a\0b": None}},
        {"files": {"\ud800": None}},
        {"answered": ["another's"]},
        {"answers": {"a": {"items": [math.inf]}}},
        {"modules": [1]},
    ],
    ids=str,
)
def test_news_with_a_wrong_value_name_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(NonsenseError):
        read(json.dumps({**READY, **wrong}))


def test_news_come_when_it_is_time_for_them() -> None:
    for text in ('{"state": "alive"}', json.dumps(READY), '{"state": "failed", "reason": "x"}'):
        with pytest.raises(NonsenseError, match="that nobody waits for"):
            read_late(text)
    with pytest.raises(NonsenseError):
        read('{"state": "unbatched", "route": "a", "reason": "x"}')


def test_64_mib_without_a_line_end_are_cut_and_take_no_longer_than_reading_them() -> None:
    lines = LineBuffer(limit=1 << 24)
    chunk = b"x" * (1 << 16)
    found = [line for _ in range(1 << 10) for line in lines.take(chunk)]
    assert [len(line) >> 24 for line in found] == [1, 1, 1]
    with pytest.raises(NonsenseError):
        read(found[0])


@pytest.mark.parametrize(
    ("end_by", "seconds"),
    [(math.nan, 1.0), (-1.0, 1.0), (1e300, 1.0), (math.inf, math.inf), (101.0, math.nan), (101.0, -1.0), (200.0, 60.0)],
)
def test_a_clock_that_no_call_can_show_is_nonsense(end_by: float, seconds: float) -> None:
    assert read_clock(struct.pack("dd", 101.0, 60.0), 100.0, 60.0) == (101.0, 60.0)
    assert read_clock(bytes(16), 100.0, 60.0) == (0.0, 0.0)
    with pytest.raises(NonsenseError, match="a clock that shows"):
        read_clock(struct.pack("dd", end_by, seconds), 100.0, 60.0)
    with pytest.raises(NonsenseError, match="a clock of 3 bytes"):
        read_clock(b"abc", 100.0, 60.0)


def test_counters_that_nobody_can_have_counted_count_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w0.counts"
    path.write_bytes(struct.pack("5d", 3.0, math.nan, -2.0, math.inf, 1e300))
    assert list(read_doubles(path, 5)) == [3.0, 0.0, 0.0, 0.0, 0.0]
    assert list(map(clean_count, (0.0, -0.5))) == [0.0, 0.0]


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.write_bytes(bytes(1 << 20))], ids=["fifo", "folder", "large"]
)
def test_a_shared_file_that_is_none_is_as_good_as_gone(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "w0.counts"
    make(path)
    with pytest.raises(OSError, match=r"is no file of at most 16 bytes|Is a directory"):
        read_shared(path, 16)
    assert list(read_doubles(path, 2)) == [0.0, 0.0]
    path.rename(tmp_path / "w0.taken")
    assert read_taken(f"{tmp_path}/w0.sock.1") is None


def test_a_status_that_somebody_else_has_written_says_nothing(tmp_path: Path) -> None:
    for text in ("", "{", DEEP, '{"models": [{}]}', '{"models": [{"name": "m", "state": "odd"}]}', "[]"):
        (tmp_path / STATUS_FILE).write_text(text)
        assert read_status(tmp_path) == {}


def test_metrics_of_classes_have_a_form() -> None:
    counter = {"name": "a", "type": "COUNTER", "labels": {"b": "c"}, "value": 1.0}
    timer = {**counter, "type": "TIMER", "counts": [0, 1]}
    assert is_metric(counter, counts=2)
    assert is_metric(timer, counts=2)
    for wrong in ({**timer, "counts": [1]}, {**timer, "counts": [0, -1]}, {**counter, "value": "1"}, {"name": "a"}, 7):
        assert not is_metric(wrong, counts=2)


def test_a_frame_whose_header_is_too_deep_is_no_frame() -> None:
    reader = FrameReader(max_body=8)
    reader.feed(struct.pack("!II", len(DEEP), 0) + DEEP.encode())
    with pytest.raises(WireError):
        reader.next_frame()
