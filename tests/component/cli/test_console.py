import os
import pty
import subprocess
import sys


def run_on_terminal(code: str) -> str:
    """Run Python code with a terminal as standard error, and return all that the terminal got."""
    ours, theirs = pty.openpty()
    program = f"import time\nfrom modelyard.cli.console import Console\n{code}"
    with subprocess.Popen(
        [sys.executable, "-c", program], stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # EIO: nobody holds the other side any more
            pass
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


class TestOnATerminal:
    def test_output_is_shown_while_it_runs_and_one_line_stays(self):
        shown = run_on_terminal(
            "with Console().step('building') as step:\n"
            "    step.output('---> copy [bold]')\n    time.sleep(0.3)\n    step.done('built')"
        )
        spinning, _, last = shown.rpartition("ok ")
        assert "building" in spinning and "---> copy [bold]" in spinning
        assert last.removeprefix("\x1b[0m").startswith("built (0.")

    def test_a_note_in_a_step_stays(self):
        shown = run_on_terminal("with Console().step('getting the data'):\n    Console().note('SYNTHETIC DATA')")
        assert "     SYNTHETIC DATA\r\n" in shown

    def test_verbose_shows_every_line(self):
        shown = run_on_terminal("with Console(verbose=True).step('building') as step:\n    step.output('---> copy')")
        assert shown == "---> building\r\n     ---> copy\r\n"
