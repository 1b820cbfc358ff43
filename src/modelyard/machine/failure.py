"""What an assemble that failed has to say, whichever engine ran it."""

from modelyard.errors import BuildError


def explain_build_failure(what: str, code: int, last: list[str], *, hint: str | None = None) -> BuildError:
    """Make the error of a failed assemble: the step, the exit code, the last lines, and the hint they end with."""
    marks = [number for number, line in enumerate(last) if line.startswith("---> ")]
    step = f" at {last[marks[-1]].removeprefix('---> ')!r}" if marks else ""
    said = last[marks[-1] + 1 :] if marks else last
    own_hint = next((line.strip().removeprefix("hint: ") for line in last[-1:] if line.startswith("  hint: ")), None)
    shown = said[:-1] if own_hint else said
    text = "\n".join(f"  {line}" for line in shown[-15:])
    return BuildError(f"assemble of {what} failed{step} with exit code {code}:\n{text}", hint=hint or own_hint)
