"""Tell a process from another that got its number later."""

import subprocess
from pathlib import Path


def start_time(pid: int) -> str | None:
    """When a process started, in whatever unit the system counts; None where there is no such process (any more)."""
    if Path("/proc/self/stat").exists():
        try:
            # The command's name, in parentheses, may hold anything; field 3 is the state, field 22 the start.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def is_running(pid: int, started: str | None) -> bool:
    """Tell whether the process that had `pid` and started at `started` still runs."""
    return started is not None and start_time(pid) == started
