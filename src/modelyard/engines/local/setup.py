"""A setup.sh in the embedded engine: left out with a warning, or shown and run where the user lets it run here."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modelyard.context.build_context import BuildContext
from modelyard.engines.protocols import OnOutput
from modelyard.machine.process import inherit, run_command
from modelyard.network import read_network_profile

STEP = "---> setup: run setup.sh"
_ENCLOSURE = Path(__file__).with_name("enclosure.py")
WAYS_ON = (
    "build with an engine (ENGINE=docker), install what it names yourself (MODELYARD_SKIP_SETUP=1 then ends this "
    "warning), or have it shown and run on this machine (SETUP=1, --run-setup)"
)


def find_setup(context: BuildContext) -> Path | None:
    """The staged setup.sh of a context."""
    script = context.source / "setup.sh"
    return script if script.is_file() else None


def name_setup(context: BuildContext) -> str:
    """The setup.sh of a context by its path in the workspace: beside the requirements file."""
    return (Path(context.about.requirements).parent / "setup.sh").as_posix()


def warn_of_setup(context: BuildContext, environ: Mapping[str, str]) -> Iterator[str]:
    """The line that names a setup.sh which is left out; none where the user knows."""
    if find_setup(context) and not context.runs_setup and not environ.get("MODELYARD_SKIP_SETUP"):
        yield f"warning: {name_setup(context)} is not run: it is written for an image, this machine is none; {WAYS_ON}"


def run_setup(
    script: Path, *, name: str, environ: Mapping[str, str], on_output: OnOutput, locks: Sequence[int]
) -> tuple[int, list[str]]:
    """Show a setup.sh, then run it apart from what others keep on this machine; return exit code and last lines."""
    on_output(STEP)
    on_output(f"warning: {name} runs on this machine, as {_name_user()}:")
    for line in script.read_text(encoding="utf-8", errors="replace").split("\n"):
        on_output(f"warning: | {line.rstrip()}")
    variables = {**inherit(environ), **read_network_profile(environ).variables}
    variables.pop("TMPDIR", None)
    command = [sys.executable, "-I", "-S", str(_ENCLOSURE), str(script)]
    code, last = run_command(command, environ=variables, on_output=on_output, locks=locks)
    return code, [STEP, *last]


def _name_user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "a user without a name"
