"""Flags as Go's pflag reads them, for commands that stand in for one written in Go: `--rm=false`, `-c=true`, `-cq`.

https://pkg.go.dev/github.com/spf13/pflag#readme-command-line-flag-syntax
"""

from collections.abc import Sequence

import click

# What strconv.ParseBool takes, and nothing else: `yes` and `on` are errors there too.
_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def parse_bool(text: str, flag: str, ctx: click.Context | None = None) -> bool:
    """Read a boolean flag's value; raise BadParameter for what is none."""
    if text not in _BOOLS:
        raise click.BadParameter(f"{text!r} is neither true nor false.", ctx, param_hint=f"'{flag}'")
    return _BOOLS[text]


class PflagReader:
    """Writes arguments in pflag's forms as those that click reads: a flag and its value apart, a bool there or not."""

    def __init__(self, command: click.Command, ctx: click.Context) -> None:
        self._ctx = ctx
        options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
        self._options = {name: option for option in options for name in option.opts}
        self._switches: dict[str, bool] = {}

    def read(self, arguments: Sequence[str]) -> list[str]:
        """Translate what click does not know; what is no flag of the command is left for click to name."""
        rest = list(arguments)
        flags: list[str] = []
        others: list[str] = []
        while rest:
            argument = rest.pop(0)
            if argument == "--":
                others += rest
                break
            if not argument.startswith("-") or argument == "-":
                others.append(argument)
                if not self._ctx.allow_interspersed_args:  # a group: what follows is its command's
                    others += rest
                    break
            elif argument.startswith("--"):
                flags += self._read_long(argument, rest)
            else:
                flags += self._read_short(argument[1:], rest)
        return [*flags, *(name for name, on in self._switches.items() if on), "--", *others]

    def _read_long(self, argument: str, rest: list[str]) -> list[str]:
        name, equals, value = argument.partition("=")
        option = self._options.get(name)
        if option is None:
            return [argument]
        if option.is_flag:
            return self._switch(option, name, value if equals else "true")
        return [name, value] if equals else [name, self._take(name, rest)]

    def _read_short(self, letters: str, rest: list[str]) -> list[str]:
        """Read `-abc`: each letter a flag, until one takes what follows it as its value."""
        found: list[str] = []
        while letters:
            name, letters = f"-{letters[0]}", letters[1:]
            option = self._options.get(name)
            if option is None:
                return [*found, name]
            if len(letters) > 1 and letters[0] == "=":
                value, letters = letters[1:], ""
                found += self._switch(option, name, value) if option.is_flag else [name, value]
            elif option.is_flag:
                self._switch(option, name, "true")
            else:
                found += [name, letters or self._take(name, rest)]
                letters = ""
        return found

    def _switch(self, option: click.Option, name: str, value: str) -> list[str]:
        """Remember a boolean; the last one counts."""
        self._switches[option.opts[-1]] = parse_bool(value, name, self._ctx)
        return []

    def _take(self, name: str, rest: list[str]) -> str:
        """The next argument, whatever it looks like, as a flag's value."""
        if not rest:
            raise click.BadOptionUsage(name, f"Option {name!r} requires an argument.", self._ctx)
        return rest.pop(0)


def _read(command: click.Command, ctx: click.Context, arguments: list[str]) -> list[str]:
    # Nothing is nothing, which may mean --help; and a shell that completes half a line expects no errors.
    return arguments if ctx.resilient_parsing or not arguments else PflagReader(command, ctx).read(arguments)


class PflagCommand(click.Command):
    """A command with pflag's flags."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse them."""
        return super().parse_args(ctx, _read(self, ctx, args))


class PflagGroup(click.Group):
    """A group with pflag's flags, as have all its commands."""

    command_class = PflagCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse those before the command's name."""
        return super().parse_args(ctx, _read(self, ctx, args))
