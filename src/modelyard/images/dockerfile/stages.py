"""The stages of a Dockerfile, of which those are made that the last one needs; a RUN in one of these is refused."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelyard.errors import InputError
from modelyard.images.dockerfile.parsing import Instruction
from modelyard.images.dockerfile.words import WordError, expand

ENGINES = "docker build, podman build"
_NAME = re.compile(r"[a-z][a-z0-9-_.]*")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One FROM and what follows it."""

    number: int
    start: Instruction
    base: str
    """What it stands on: a stage before it, `scratch`, or an image."""
    name: str
    platform: str | None
    instructions: Sequence[Instruction]

    def sources(self) -> list[tuple[Instruction, str]]:
        """What its instructions copy from, other than the context."""
        return [(each, each.flags["from"]) for each in self.instructions if each.flags.get("from")]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The stages to make, each after those that it needs, and the arguments from before the first FROM."""

    stages: Sequence[Stage]
    arguments: Mapping[str, str | None]


def plan_stages(instructions: Sequence[Instruction], given: Mapping[str, str], *, target: str | None = None) -> Recipe:
    """The stages that `target`, or the last one, needs. Raises InputError, of every RUN in them most of all.

    `given` are the values of --build-arg, and of the platform.
    """
    arguments: dict[str, str | None] = {}
    stages: list[Stage] = []
    rest = list(instructions)
    while rest and rest[0].name == "ARG":
        arguments |= _read_arguments(rest.pop(0), given, arguments)
    if not rest or rest[0].name != "FROM":
        found = rest[0] if rest else instructions[0]
        raise found.refuse("before any FROM", hint="begin with FROM IMAGE; only ARG may stand before it")
    starts = [place for place, each in enumerate(rest) if each.name == "FROM"]
    for start, end in zip(starts, [*starts[1:], len(rest)], strict=True):
        known = {**given, **arguments}
        stages.append(_read_stage(rest[start], rest[start + 1 : end], known, number=len(stages)))
    needed = _find_needed(stages, _find_target(stages, target, instructions[0].file))
    refuse_runs([each for stage in needed for each in stage.instructions])
    return Recipe(stages=needed, arguments=arguments)


def refuse_runs(instructions: Sequence[Instruction]) -> None:
    """Raise InputError that names every RUN, and what can run it."""
    runs = [each for each in instructions if each.name == "RUN"]
    if not runs:
        return
    others = (
        f" (and line{'s' if runs[2:] else ''} {', '.join(str(each.line) for each in runs[1:])})" if runs[1:] else ""
    )
    raise InputError(
        f"{runs[0].where}: {runs[0].text[:200]}{others}: a RUN needs a container, and here nothing is run",
        hint=f"engines that can: {ENGINES}; or begin FROM an image that has what it makes, and COPY the rest",
    )


def find_stage(stages: Sequence[Stage], name: str) -> Stage | None:
    """The stage of a name or number."""
    return next((stage for stage in reversed(stages) if name.lower() in (stage.name, str(stage.number))), None)


def _read_arguments(
    instruction: Instruction, given: Mapping[str, str], known: Mapping[str, str | None]
) -> dict[str, str | None]:
    name, equals, value = instruction.rest.partition("=")
    if not name:
        raise instruction.refuse("names no argument", hint="write ARG NAME=value")
    if name in given:
        return {name: given[name]}
    return {name: _expand(instruction, value, {**given, **known}) if equals else None}


def _expand(instruction: Instruction, word: str, values: Mapping[str, str | None]) -> str:
    try:
        return expand(word, values.get, instruction.escape)
    except WordError as error:
        raise instruction.refuse(str(error)) from None


def _read_stage(
    start: Instruction, instructions: Sequence[Instruction], arguments: Mapping[str, str | None], *, number: int
) -> Stage:
    words = start.rest.split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise start.refuse(f"{start.rest!r} is not understood", hint="write FROM IMAGE or FROM IMAGE AS NAME")
    base = _expand(start, words[0], arguments)
    if not base:
        raise start.refuse(f"{words[0]} comes to nothing", hint="give its ARG a value, or --build-arg NAME=value")
    name = words[2].lower() if len(words) == 3 else str(number)
    if len(words) == 3 and not _NAME.fullmatch(name):
        raise start.refuse(f"{words[2]!r} is no name of a stage", hint="begin it with a letter")
    platform = start.flags.get("platform")
    return Stage(
        number=number,
        start=start,
        base=base,
        name=name,
        platform=_expand(start, platform, arguments) if platform else None,
        instructions=instructions,
    )


def _find_target(stages: Sequence[Stage], target: str | None, file: str) -> Stage:
    found = stages[-1] if target is None else find_stage(stages, target)
    if found is None:
        names = ", ".join(stage.name for stage in stages)
        raise InputError(f"{file} has no stage {target!r}", hint=f"its stages: {names}")
    return found


def _find_needed(stages: Sequence[Stage], top: Stage) -> list[Stage]:
    """The stages that one needs, before it; only what stands above can be needed."""
    above = stages[: stages.index(top)]
    named = [top.base, *(name for _, name in top.sources())]
    found = [stage for name in named if (stage := find_stage(above, name)) is not None]
    needed = [each for stage in found for each in _find_needed(stages, stage)]
    return [stage for stage in stages if stage in needed or stage is top]
