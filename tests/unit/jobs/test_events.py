"""Events are read while they are written."""

import json

import pytest

from modelyard.jobs.ending import decide_ending
from modelyard.jobs.events import number, parse_events, read_events


def lines(*events):
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


START = {"event": "start", "task": {"epochs": 3}, "samples": 10}


def epoch(count, **values):
    return {"event": "epoch", "epoch": count, "accuracy": 0.5, **values}


def test_what_is_half_written_or_nonsense_is_passed_over():
    text = lines(START, epoch(1)) + b"\xff\n[]\n5\n" + lines(epoch(2)) + lines(epoch(3))[:-5]
    events = parse_events(text)
    assert [one["epoch"] for one in events.epochs] == [1, 2]
    assert (events.planned, events.last["epoch"], events.end) == (3, 2, None)


def test_an_epoch_that_is_told_again_counts_once_and_an_end_until_the_next_start():
    end = {"event": "end", "status": "stopped"}
    events = parse_events(lines(START, epoch(1), epoch(2), end))
    assert events.end == end
    restart = {"event": "restart", "reason": "a worker was killed", "worker": 1}
    events = parse_events(lines(START, epoch(1), epoch(2), end, START, restart, epoch(2, accuracy=0.75)))
    assert (events.end, events.restarts) == (None, (restart,))
    assert [one["accuracy"] for one in events.epochs] == [0.5, 0.75]


def test_no_file_is_no_events(tmp_path):
    events = read_events(tmp_path / "none")
    assert (events.epochs, events.last, events.planned) == ((), {}, None)


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), float("inf"), [1]])
def test_what_is_no_finite_number_is_none(value):
    assert number({"loss": value}, "loss") is None
    assert number({"loss": 2}, "loss") == 2


def end(status, reason=None):
    return parse_events(lines(START, {"event": "end", "status": status, "reason": reason}))


NOTHING = parse_events(b"")


@pytest.mark.parametrize(
    ("code", "events", "asked", "state"),
    [
        (0, NOTHING, False, "finished"),
        (0, end("finished"), True, "finished"),  # it was done before it was stopped
        (0, end("stopped"), True, "stopped"),
        (0, end("stopped"), False, "stopped"),
        (143, NOTHING, True, "stopped"),
        (137, NOTHING, True, "stopped"),
        (143, NOTHING, False, "failed"),
        (1, NOTHING, True, "failed"),
        (1, end("failed", "NaN"), False, "failed"),
        (None, NOTHING, False, "lost"),
        (None, end("finished"), False, "finished"),
        (None, end("failed", "NaN"), False, "failed"),
    ],
)
def test_how_a_job_ended(code, events, asked, state):
    ending = decide_ending(code, events, was_asked_to_stop=asked)
    assert ending.state == state
    assert "NaN" not in str(events.end) or ending.reason == "NaN"
