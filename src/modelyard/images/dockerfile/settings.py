"""What instructions set in an image's configuration. Pure: nothing here reads a file.

https://github.com/opencontainers/image-spec/blob/main/config.md
"""

import posixpath
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from modelyard.images.configuration import EPOCH
from modelyard.images.dockerfile.parsing import Instruction
from modelyard.images.dockerfile.words import WordError, expand, split_pairs

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHELL = ("/bin/sh", "-c")
_SECOND = 1_000_000_000
_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 1_000_000, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND}
_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_FLAGS = {
    "HEALTHCHECK": {*_TIMES, "retries"},
    "COPY": {"chown", "chmod", "from", "link"},
    "ADD": {"chown", "chmod", "link"},
    "FROM": {"platform"},
}


class Settings:
    """The configuration of an image that is being made."""

    def __init__(
        self, document: Mapping[str, Any], arguments: Mapping[str, str | None], given: Mapping[str, str]
    ) -> None:
        """`document` is the image below, `arguments` are those from before FROM, `given` the values of --build-arg."""
        self.document = deepcopy(dict(document))
        self.config: dict[str, Any] = {key: value for key, value in (document.get("config") or {}).items() if value}
        self.config.pop("OnBuild", None)
        self.history: list[dict[str, Any]] = list(document.get("history") or ())
        self.variables = dict(line.partition("=")[::2] for line in self.config.get("Env") or ())
        self.variables.setdefault("PATH", DEFAULT_PATH)
        self._outer, self._given = arguments, given
        self._arguments: dict[str, str | None] = {}
        self._has_command = False

    def apply(self, instruction: Instruction) -> None:
        """Take what an instruction says. Raises InputError with its line."""
        check_flags(instruction)
        if not instruction.rest:
            raise instruction.refuse("says nothing", hint="see https://docs.docker.com/reference/dockerfile/")
        _APPLY[instruction.name](self, instruction)
        if instruction.name != "ARG":
            self.note(instruction.text, is_empty=True)

    def note(self, text: str, *, is_empty: bool) -> None:
        """Add a line of `docker history`."""
        line: dict[str, Any] = {"created": EPOCH, "created_by": text}
        self.history.append({**line, "empty_layer": True} if is_empty else line)

    def expand(self, instruction: Instruction, word: str) -> str:
        """Put the values of variables and arguments into a word."""
        try:
            return expand(word, self._lookup, instruction.escape)
        except WordError as error:
            raise instruction.refuse(str(error)) from None

    def words(self, instruction: Instruction) -> list[str]:
        """The words of an instruction, or its JSON strings, expanded; those that come to nothing are left out."""
        found = instruction.array if instruction.array is not None else instruction.rest.split()
        return [word for word in (self.expand(instruction, each) for each in found) if word]

    @property
    def folder(self) -> str:
        """The working directory."""
        return str(self.config.get("WorkingDir") or "/")

    def render(self, diff_ids: Sequence[str], platform: Mapping[str, str]) -> dict[str, Any]:
        """The whole configuration, with no clock and no host name in it."""
        config = {**self.config, "Env": [f"{key}={value}" for key, value in self.variables.items()]}
        document = {
            **platform,
            "created": EPOCH,
            "config": {key: value for key, value in config.items() if value and key not in _OF_CONTAINERS},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
            "history": self.history,
        }
        return {**document, **({"author": self.document["author"]} if self.document.get("author") else {})}

    def _lookup(self, name: str) -> str | None:
        return self.variables.get(name, self._arguments.get(name))

    # ---- one for each instruction

    def _arg(self, instruction: Instruction) -> None:
        for word in instruction.rest.split() if '"' not in instruction.rest else [instruction.rest]:
            name, equals, value = word.partition("=")
            default = self.expand(instruction, value) if equals else self._outer.get(name)
            self._arguments[name] = self._given.get(name, default)

    def _env(self, instruction: Instruction) -> None:
        # All values of one line see what was set before it.
        self.variables |= self._read_pairs(instruction)

    def _label(self, instruction: Instruction) -> None:
        self.config["Labels"] = {**(self.config.get("Labels") or {}), **self._read_pairs(instruction)}

    def _read_pairs(self, instruction: Instruction) -> dict[str, str]:
        try:
            pairs = split_pairs(instruction.rest, instruction.escape)
        except WordError as error:
            raise instruction.refuse(str(error), hint="write KEY=value, with quotes where blanks are in it") from None
        found = {self.expand(instruction, key): self.expand(instruction, value) for key, value in pairs}
        if "" in found:
            raise instruction.refuse("a name is empty", hint="write KEY=value")
        return found

    def _cmd(self, instruction: Instruction) -> None:
        self.config["Cmd"], self._has_command = self._read_command(instruction), True

    def _entrypoint(self, instruction: Instruction) -> None:
        self.config["Entrypoint"] = self._read_command(instruction)
        if not self._has_command:
            self.config.pop("Cmd", None)  # it was the arguments of another program

    def _read_command(self, instruction: Instruction) -> list[str]:
        array = instruction.array
        return array if array is not None else [*(self.config.get("Shell") or _SHELL), instruction.rest]

    def _shell(self, instruction: Instruction) -> None:
        if not instruction.array:
            raise instruction.refuse("is no JSON array", hint='write SHELL ["/bin/bash", "-c"]')
        self.config["Shell"] = instruction.array

    def _workdir(self, instruction: Instruction) -> None:
        place = posixpath.join(self.folder, self.expand(instruction, instruction.rest))
        self.config["WorkingDir"] = posixpath.normpath(place).replace("//", "/")

    def _user(self, instruction: Instruction) -> None:
        self.config["User"] = self.expand(instruction, instruction.rest)

    def _stopsignal(self, instruction: Instruction) -> None:
        name = self.expand(instruction, instruction.rest)
        known = {each.name for each in signal.Signals} | {each.name.removeprefix("SIG") for each in signal.Signals}
        if not (name.isdigit() and 0 < int(name) < 65) and name.upper() not in known and "RTM" not in name.upper():
            raise instruction.refuse(f"{name!r} is no signal", hint="write SIGTERM, or its number")
        self.config["StopSignal"] = name

    def _maintainer(self, instruction: Instruction) -> None:
        self.document["author"] = instruction.rest

    def _onbuild(self, instruction: Instruction) -> None:
        if instruction.rest.split()[0].upper() in ("ONBUILD", "FROM", "MAINTAINER"):
            raise instruction.refuse(f"{instruction.rest.split()[0]} can't be put off", hint="write it by itself")
        self.config["OnBuild"] = [*(self.config.get("OnBuild") or ()), instruction.rest]

    def _volume(self, instruction: Instruction) -> None:
        self.config["Volumes"] = {**(self.config.get("Volumes") or {}), **{w: {} for w in self.words(instruction)}}

    def _expose(self, instruction: Instruction) -> None:
        ports: dict[str, Any] = {
            port: {} for word in self.words(instruction) for port in _read_ports(instruction, word)
        }
        self.config["ExposedPorts"] = {**(self.config.get("ExposedPorts") or {}), **ports}

    def _healthcheck(self, instruction: Instruction) -> None:
        kind, _, rest = instruction.rest.partition(" ")
        if kind.upper() == "NONE" and not rest and not instruction.flags:
            self.config["Healthcheck"] = {"Test": ["NONE"]}
            return
        if kind.upper() != "CMD" or not rest.strip():
            raise instruction.refuse(
                f"{instruction.rest!r} is not understood", hint="write HEALTHCHECK CMD ... or NONE"
            )
        command = parse_array(rest.strip())
        check: dict[str, Any] = {"Test": ["CMD", *command] if command is not None else ["CMD-SHELL", rest.strip()]}
        for flag, key in _TIMES.items():
            if flag in instruction.flags:
                check[key] = _read_duration(instruction, flag, instruction.flags[flag])
        if "retries" in instruction.flags:
            if not instruction.flags["retries"].isdigit():
                raise instruction.refuse(f"--retries={instruction.flags['retries']} is no number")
            check["Retries"] = int(instruction.flags["retries"])
        self.config["Healthcheck"] = check


# What engines note of the container that an image was committed from.
_OF_CONTAINERS = frozenset(
    ["Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "Image"]
)
_APPLY: Mapping[str, Callable[[Settings, Instruction], None]] = {
    "ARG": Settings._arg,
    "CMD": Settings._cmd,
    "ENTRYPOINT": Settings._entrypoint,
    "ENV": Settings._env,
    "EXPOSE": Settings._expose,
    "HEALTHCHECK": Settings._healthcheck,
    "LABEL": Settings._label,
    "MAINTAINER": Settings._maintainer,
    "ONBUILD": Settings._onbuild,
    "SHELL": Settings._shell,
    "STOPSIGNAL": Settings._stopsignal,
    "USER": Settings._user,
    "VOLUME": Settings._volume,
    "WORKDIR": Settings._workdir,
}


def parse_array(text: str) -> list[str] | None:
    """The strings of a JSON array; None where it is none."""
    return Instruction(file="", line=0, name="", rest=text).array


def check_flags(instruction: Instruction) -> None:
    """Raise InputError for a flag that is not known of that instruction."""
    unknown = sorted(set(instruction.flags) - _FLAGS.get(instruction.name, set()))
    if unknown and instruction.name != "RUN":
        known = ", ".join(f"--{name}" for name in sorted(_FLAGS.get(instruction.name, ())))
        raise instruction.refuse(f"--{unknown[0]} is not known here", hint=f"known: {known or 'none'}")


def _read_ports(instruction: Instruction, word: str) -> list[str]:
    match = re.fullmatch(r"(?P<first>\d+)(?:-(?P<last>\d+))?(?:/(?P<protocol>tcp|udp|sctp))?", word.lower())
    first, last = (int(match["first"]), int(match["last"] or match["first"])) if match else (0, 0)
    if match is None or not 0 < first <= last <= 65535:
        raise instruction.refuse(f"{word!r} is no port", hint="write EXPOSE 8080, 53/udp or 7000-7010")
    return [f"{port}/{match['protocol'] or 'tcp'}" for port in range(first, last + 1)]


def _read_duration(instruction: Instruction, flag: str, text: str) -> int:
    """A duration in nanoseconds, as Go writes it: `1m30s`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise instruction.refuse(f"--{flag}={text} is no duration", hint="write 30s or 1m30s")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))
