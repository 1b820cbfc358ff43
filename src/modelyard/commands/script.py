"""Run a script of the workspace: build.sh, make_data.py."""

import signal
import subprocess
from collections.abc import Mapping, Sequence

from modelyard.commands.reporter import OnOutput
from modelyard.errors import RunError
from modelyard.machine.process import signal_group, start_group

_GRACE = 10.0


def run_script(command: Sequence[str], *, environ: Mapping[str, str], output: OnOutput) -> int:
    """Run a script, pass on what it prints line by line, and return its exit code.

    What interrupts the caller ends the script and all that it started, and gives them time to clean up. Raises RunError
    for a script that can't be started.
    """
    try:
        process = start_group(command, environ=environ)
    except OSError as error:
        raise RunError(
            f"{command[0]} can't be run: {error.strerror}", hint=f"chmod +x {command[0]}; its first line names bash"
        ) from None
    with process:
        try:
            for line in process.stdout or ():
                output(line.rstrip("\n"))
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _end(process: "subprocess.Popen[str]") -> None:
    signal_group(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=_GRACE)  # until nobody holds its output any more, not only until the script is gone
    except subprocess.TimeoutExpired:
        pass
    finally:
        signal_group(process.pid, signal.SIGKILL)
