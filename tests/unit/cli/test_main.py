import errno
import signal
from importlib import import_module

import click
import pytest

from modelyard import cli, errors
from modelyard.cli import COMMANDS
from modelyard.runtime.errors import ModelyardError

EXIT_CODES = {
    "ModelyardError": 1,
    "InputError": 3,
    "WorkspaceError": 3,
    "StaleError": 4,
    "BuildError": 5,
    "RunError": 6,
    "EngineError": 7,
    "PortTakenError": 7,
    "EndpointError": 8,
    "StoreError": 9,
}


def test_help_lists_every_command_with_its_text(modelyard):
    done = modelyard("--help")
    assert done.code == 0
    for name, (_, text) in COMMANDS.items():
        assert f"{name} " in done.out
        assert text.split()[-1] in done.out


def all_commands() -> list[tuple[str, ...]]:
    """Every command there is, those of groups too, as words."""
    found: list[tuple[str, ...]] = []
    for name, (module, _) in COMMANDS.items():
        command = getattr(import_module(f"modelyard.cli.{module}"), f"{name.replace('-', '_')}_command")
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_has_help(modelyard, words):
    done = modelyard(*words, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: modelyard {' '.join(words)}")
    described = done.out.partition("\n\n")[2].strip()
    assert described and not described.startswith("Options:")


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_option_has_help(words):
    command: click.Command = cli.cli
    for word in words:
        found = command.get_command(click.Context(command), word)  # type: ignore[attr-defined]
        assert found is not None
        command = found
    silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_the_exit_codes_are_those_documented_and_no_class_is_left_out():
    classes = {name: getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert {name: kind.exit_code for name, kind in classes.items()} == EXIT_CODES


@pytest.mark.parametrize("name", EXIT_CODES)
def test_an_error_is_its_message_its_hint_and_its_exit_code(modelyard, monkeypatch, name):
    error = getattr(errors, name)("it broke", hint="first line\nsecond line")
    fail_with(monkeypatch, error)
    done = modelyard("images")
    assert done.code == EXIT_CODES[name]
    assert done.err == "error: it broke\nhint:  first line\n       second line\n"
    assert done.out == ""


def fail_with(monkeypatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("modelyard.engines.open_engine", fail)


def test_ctrl_c_is_130(modelyard, monkeypatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    done = modelyard("images")
    assert (done.code, done.err.strip()) == (130, "stopped")


def test_a_file_that_cannot_be_written_is_named(modelyard, monkeypatch):
    fail_with(monkeypatch, PermissionError(13, "Permission denied", "/data/models"))
    done = modelyard("images")
    assert done.code == 1
    assert done.err.startswith("error: /data/models: Permission denied\n")


def test_a_folder_in_a_file_s_place_is_said_to_be_one(modelyard, monkeypatch):
    fail_with(monkeypatch, IsADirectoryError(21, "Is a directory", "/data/requirements.txt"))
    done = modelyard("images")
    assert (done.code, done.err.partition("\n")[0]) == (1, "error: /data/requirements.txt: Is a directory")
    assert "hint:  a file is in a folder's place, or a folder in a file's" in done.err


def test_a_full_disk_is_said_to_be_full(modelyard, monkeypatch):
    fail_with(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))  # as a write has it, without a name
    done = modelyard("images")
    assert (done.code, done.err.partition("\n")[0]) == (1, "error: a disk that it writes to: No space left on device")


def test_a_bug_is_not_hidden(monkeypatch):
    fail_with(monkeypatch, OSError("what?"))
    with pytest.raises(OSError, match="what"):
        cli.main(["images"])


@pytest.fixture
def hang_up():
    """How the process takes SIGHUP, put back afterwards; the tests may run under nohup themselves."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_through_every_finally(modelyard, monkeypatch, number):
    cleaned = []

    def wait(*_: object) -> None:
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(True)

    monkeypatch.setattr("modelyard.engines.open_engine", wait)
    assert modelyard("images").code == 128 + number
    assert cleaned == [True]


@pytest.mark.usefixtures("hang_up")
def test_nohup_is_respected(modelyard, monkeypatch):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    modelyard("images")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["generat"], "Did you mean 'generate'?"),
        (["xyzzy"], "No such command 'xyzzy'"),
        (["build", "--tagg", "x"], "--tag"),
        (["build", ".", "training"], "'train', 'predict'"),
        (["serve", "--port", "70000"], "70000"),
        (["-C", "/nowhere/at/all", "images"], "/nowhere/at/all"),
        (["build", "--context", "."], "--context needs --tag"),
    ],
)
def test_a_wrong_command_line_is_2_and_says_what_is_right(modelyard, words, said):
    done = modelyard(*words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_wrong_value_of_an_environment_variable_is_told_with_its_name(modelyard, monkeypatch):
    monkeypatch.setenv("MODELYARD_MAX_SIZE", "big")
    done = modelyard("build")
    assert done.code == 2
    assert done.err.endswith("It is set by the environment variable MODELYARD_MAX_SIZE (make: MAX_SIZE).\n")
    assert "environment variable" not in modelyard("build", "--max-size", "big").err


def test_an_engine_that_was_found_is_said_with_how_to_choose(modelyard, monkeypatch):
    monkeypatch.delenv("MODELYARD_ENGINE")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    done = modelyard("images")
    assert done.code == 7
    assert done.err.startswith("engine: docker (DOCKER_HOST); choose with --engine or MODELYARD_ENGINE (make: ENGINE=")


@pytest.mark.parametrize("words", [["images", "--json"], ["images", "--engine", "docker"], ["inspect", "it"]])
def test_an_engine_is_not_said_to_programs_nor_to_who_named_it(modelyard, monkeypatch, words):
    monkeypatch.delenv("MODELYARD_ENGINE")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert modelyard(*words).err.startswith("error: docker: no answer from tcp://127.0.0.1:1")


def test_the_version_is_the_package_s(modelyard):
    from modelyard import __version__

    assert modelyard("--version").out == f"modelyard, version {__version__}\n"


def test_every_error_class_has_one_root():
    assert all(issubclass(getattr(errors, name), ModelyardError) for name in EXIT_CODES)
