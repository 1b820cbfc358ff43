"""The line of a worker's output that says best why it ended."""

_FATAL = "Fatal Python error"


class LastWords:
    """The last line; after a fatal error (SIGSEGV) that one, and the innermost of the frames below `root`."""

    def __init__(self, root: str) -> None:
        self._root = f"{root}/"
        self.line = ""

    def forget(self) -> None:
        """Begin again, for another process."""
        self.line = ""

    def note(self, line: str) -> None:
        """Take one more line.

        >>> words = LastWords("/action")
        >>> for line in ("Fatal Python error: Aborted", '  File "/lib/x.py"', '  File "/action/m.py", line 3'):
        ...     words.note(line)
        >>> words.line
        'Fatal Python error: Aborted: File "m.py", line 3'
        """
        if not self.line.startswith(_FATAL):
            self.line = line
        elif ": File " not in self.line and self._root in line:
            self.line += f": {line.strip().replace(self._root, '')}"
