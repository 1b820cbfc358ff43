"""The error tree of the tool. Exit codes are documented in docs/reference/cli.md and never change meaning.

ModelyardError          1   anything that went wrong on purpose
├── InputError          3   a file or value that a person wrote is wrong
│   └── WorkspaceError  3   no workspace here, or no such project, model directory or builder image
├── StaleError          4   what is committed is not what it should be of: `all/`, lock files
├── BuildError          5   assemble failed
├── RunError            6   a train function or container failed
├── EngineError         7   the engine is missing, broke, or does not know the image or container
├── PortTakenError      7   the port to publish is in use
├── EndpointError       8   a test request was not answered as it should be
└── StoreError          9   a store of model files can't be reached, refused, or has no such file
(2 is a wrong command line, 130 is Ctrl-C.)
"""

from modelyard.runtime.errors import InputError, ModelyardError, at

__all__ = [
    "BuildError",
    "EndpointError",
    "EngineError",
    "InputError",
    "ModelyardError",
    "PortTakenError",
    "RunError",
    "StaleError",
    "StoreError",
    "WorkspaceError",
    "at",
]


class WorkspaceError(InputError):
    """There is no workspace here, or it has no such project, model directory or builder image."""


class StaleError(ModelyardError):
    """Generated files, or locks, are not of what is there now."""

    exit_code = 4


class BuildError(ModelyardError):
    """An assemble script failed, or its environment could not be made."""

    exit_code = 5


class RunError(ModelyardError):
    """A train function or a container ended with an error."""

    exit_code = 6


class EngineError(ModelyardError):
    """The engine is missing or broke, or does not know the image or container."""

    exit_code = 7


class PortTakenError(EngineError):
    """Another process listens on the port that should be published."""


class EndpointError(ModelyardError):
    """A test request was not answered as it should be."""

    exit_code = 8


class StoreError(ModelyardError):
    """A store of model files can't be reached, refused, or has no such file."""

    exit_code = 9
