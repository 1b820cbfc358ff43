"""Requirements that have no wheel for a platform: which line, which platform, and the ways out."""

import re

from modelyard.context.build_context import BuildContext
from modelyard.errors import BuildError
from modelyard.images.interpreter import Interpreter
from modelyard.images.platforms import TargetPlatform
from modelyard.images.staging import NeedsContainerError

_OF_PLATFORM = re.compile(
    r"no usable wheels|building from source is disabled|source distributions is disabled"
    r"|no wheels with a matching (platform|Python ABI) tag|matching platform tag|doesn't have a wheel for the current"
)
_WAYS_OUT = (
    "ask for a version that has one, leave the platform out, or build with an engine of that platform, which can "
    "compile it (ENGINE=docker)"
)


def explain_refusal(
    error: BuildError, context: BuildContext, interpreter: Interpreter, platform: TargetPlatform
) -> BuildError:
    """The error of requirements that can't be installed for a platform without running anything there."""
    cause = error.__cause__ if isinstance(error, NeedsContainerError) else None
    if isinstance(cause, BuildError):
        return _no_wheel(cause, interpreter, platform)
    if isinstance(error, NeedsContainerError):
        return BuildError(
            f"{context.name}: {error.message}, and the engine oci runs nothing",
            hint="build with an engine (ENGINE=docker), or change that",
        )
    return _no_wheel(error, interpreter, platform) if _OF_PLATFORM.search(error.message) else error


def _no_wheel(error: BuildError, interpreter: Interpreter, platform: TargetPlatform) -> BuildError:
    what = f"{platform} (Python {interpreter.minor}, {interpreter.libc})"
    return BuildError(f"there are not wheels of all requirements for {what}: {error.message}", hint=_WAYS_OUT)
