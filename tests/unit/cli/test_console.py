import sys
import time

import pytest

from modelyard.cli.console import Console, format_age, format_size, leave_out_shown, print_table


class TestWithoutATerminal:
    def test_a_step_is_announced_its_output_indented_and_its_end_said(self, capsys):
        with Console().step("building") as step:
            step.output("---> copy")
            step.done("built")
        captured = capsys.readouterr()
        assert captured.err == "---> building\n     ---> copy\n     built\n"
        assert captured.out == ""

    def test_a_step_that_took_longer_says_how_long(self, capsys, monkeypatch):
        clock = iter([10.0, 12.5])
        monkeypatch.setattr(time, "monotonic", lambda: next(clock))
        with Console().step("building") as step:
            step.done("built")
        assert capsys.readouterr().err.endswith("     built (2.5 s)\n")

    def test_what_was_shown_is_not_told_again_by_the_error(self):
        with Console().step("building") as step:
            step.output("  uv: no such package")
            step.output("error: it failed")
        message = "assemble failed with exit code 1:\n  uv: no such package\n  error: it failed\n  and this"
        assert leave_out_shown(message) == "assemble failed with exit code 1 (see above)\n  and this"
        Console()
        assert leave_out_shown(message) == message

    def test_a_step_that_failed_does_not_claim_an_end(self, capsys):
        with pytest.raises(ValueError, match="no"), Console().step("building"):
            raise ValueError("no")
        assert capsys.readouterr().err == "---> building\n"


def test_a_warning_stays_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Console().step("building") as step:
        step.output("---> copy")
        step.output("warning: setup.sh is not run: [red]")
    assert "     warning: setup.sh is not run: [red]\n" in capsys.readouterr().err


def test_tables_keep_their_rows_on_one_line_where_nobody_looks(capsys):
    print_table(["model", "answer"], [["income/rf", "[bold]" + "x" * 150]])
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["model", "answer"]
    assert row.rstrip().endswith("[bold]" + "x" * 150)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5 * 10**9, "5.0 GB"), (10**13, "10.0 TB")],
)
def test_sizes_read_as_people_say_them(size, text):
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (0.4, "just now"),
        (1.2, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (7300, "2 hours ago"),
        (86400 * 3, "3 days ago"),
    ],
)
def test_ages_read_as_people_say_them(seconds, text, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    assert format_age(1_000_000.0 - seconds) == text
