"""The flags of `modelyard s2i` in the forms that Go's pflag takes, and upstream's users write."""

from typing import Any

import click
import pytest

from modelyard.cli.s2i import s2i_command

SWITCHES = [
    (name, option, text)
    for name, command in s2i_command.commands.items()
    for option in command.params
    if isinstance(option, click.Option) and option.is_flag
    for text in option.opts
]


def parse(*arguments: str, command: str = "build") -> dict[str, Any]:
    parent = click.Context(s2i_command, **s2i_command.context_settings)
    return s2i_command.commands[command].make_context(command, list(arguments), parent).params


def build(*flags: str) -> dict[str, Any]:
    return parse(*flags, "src", "builder", "app")


@pytest.mark.parametrize(("command", "option", "text"), SWITCHES, ids=lambda value: str(value))
def test_every_boolean_of_every_command_takes_a_value_or_none(command, option, text):
    parameters = s2i_command.commands[command].params
    positional = ["a"] * sum(isinstance(param, click.Argument) and param.required for param in parameters)
    read = [
        parse(*flags, *positional, command=command)[option.name]
        for flags in ((text,), (f"{text}=true",), (f"{text}=T",), (f"{text}=1",), (f"{text}=false",), (f"{text}=0",))
    ]
    assert read == [True, True, True, True, False, False]
    with pytest.raises(click.BadParameter, match="'maybe' is neither true nor false") as error:
        parse(f"{text}=maybe", *positional, command=command)
    assert text in error.value.format_message()


@pytest.mark.parametrize("value", ["yes", "on", "tRUE", "", "2"])
def test_other_words_for_true_are_an_error_as_for_parse_bool(value):
    with pytest.raises(click.BadParameter, match="neither true nor false"):
        build(f"--rm={value}")


def test_a_boolean_takes_no_argument_of_its_own():
    assert parse("--copy", "false", "builder", "app")["source"] == "false"


def test_the_last_one_counts():
    assert build("--rm", "--rm=false")["remove_previous"] is False
    assert build("--rm=false", "--rm")["remove_previous"] is True


@pytest.mark.parametrize("flags", [("-cqr", "v1"), ("-cq", "-rv1"), ("-cqr=v1",), ("-q", "-c=true", "-r=v1")])
def test_short_flags_in_a_bundle(flags):
    read = build(*flags)
    assert (read["copy"], read["quiet"], read["ref"]) == (True, True, "v1")


def test_a_bundle_may_end_with_a_boolean_that_is_off():
    read = build("-qc=false")
    assert (read["quiet"], read["copy"]) == (True, False)


@pytest.mark.parametrize("flags", [("-e=A=b=c",), ("-e", "A=b=c"), ("-eA=b=c",), ("--env=A=b=c",), ("--env", "A=b=c")])
def test_a_value_may_hold_what_separates_values(flags):
    assert build(*flags)["variables"] == ("A=b=c",)


def test_a_value_may_look_like_a_flag_or_be_empty():
    assert build("--exclude", "-x", "--description=")["exclude"] == "-x"
    assert build("--description=")["description"] == ""
    assert build("--description", "--")["description"] == "--"


def test_flags_stand_anywhere_and_end_with_two_dashes():
    read = parse("src", "--incremental=true", "builder", "-c", "--", "-app")
    assert (read["source"], read["builder_image"], read["tag"]) == ("src", "builder", "-app")
    assert read["incremental"] and read["copy"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--incrmental",), "No such option '--incrmental'"),
        (("-cX",), "No such option '-X'"),
        (("-X=true",), "No such option '-X'"),
    ],
)
def test_what_is_no_flag_is_named(flags, words):
    with pytest.raises(click.NoSuchOption) as error:
        build(*flags)
    assert words in error.value.format_message()


@pytest.mark.parametrize("flag", ["--ref", "-r", "-cr"])
def test_a_flag_without_its_value_is_named(flag):
    with pytest.raises(click.BadOptionUsage, match="requires an argument"):
        parse("src", "builder", flag)


@pytest.mark.parametrize("command", ["build", "rebuild", "usage", "create", "version"])
def test_log_level_is_taken_by_every_command_and_before_it(modelyard, command):
    assert modelyard("s2i", "--loglevel=2", command, "--loglevel", "5", "-h").code == 0
    done = modelyard("s2i", command, "--loglevel=much")
    assert (done.code, "'much' is not a valid integer" in done.err) == (2, True)


def test_the_engines_socket_may_be_named_before_the_command(modelyard, monkeypatch):
    asked = []
    monkeypatch.setattr("modelyard.engines.docker.client.open_client", lambda name, environ: asked.append(environ))
    monkeypatch.setattr("modelyard.s2i.command.show_usage", lambda *_: None)
    assert modelyard("s2i", "-U=unix:///mine.sock", "usage", "--engine=docker", "-p=never", "builder").code == 0
    assert [environ["DOCKER_HOST"] for environ in asked] == ["unix:///mine.sock"]
