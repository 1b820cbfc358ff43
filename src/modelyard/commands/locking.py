"""Lock what requirements come to, and build of the locks that are there."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modelyard.commands.reporter import Reporter
from modelyard.context.build_context import BuildContext
from modelyard.context.lock import Lock, apply_locks, find_locks, has_locks, is_locked
from modelyard.engines.parts import require_builder, require_exporter
from modelyard.engines.protocols import Engine, ImageBuilder
from modelyard.errors import StaleError


def write_locks(
    context: BuildContext, engine: ImageBuilder, reporter: Reporter, *, upgrade: bool = False
) -> Iterator[str]:
    """Write the locks of a context's environments, and say of each what was done.

    A fresh one stays as it is, and what a stale one pins is kept where it still fits, but for `upgrade`.
    """
    for lock in find_locks(context, engine.target(context)):
        shown = _show(lock, context)
        if lock.state == "fresh" and not upgrade:
            yield f"{shown} is up to date"
            continue
        with reporter.step(f"locking {lock.environment.requirements_file}") as step:
            _write(lock, _environ(context), upgrade=upgrade)
            step.done(f"locked {lock.environment.requirements_file}")
        yield f"wrote {shown}"


def for_platforms(engine: Engine, platforms: str) -> list[ImageBuilder]:
    """The engine for each of the platforms that a person wrote; raise EngineError for one that knows but its own."""
    from modelyard.images.platforms import parse_platforms

    exporter = require_exporter(engine)
    return [require_builder(exporter.on(platform)) for platform in parse_platforms(platforms)]


def check_locks(context: BuildContext, engine: ImageBuilder) -> None:
    """Raise StaleError that names the locks of a context that are missing or stale."""
    _raise_for(_not_fresh(find_locks(context, engine.target(context))), context)


def use_locks(context: BuildContext, engine: ImageBuilder, reporter: Reporter, *, required: bool) -> BuildContext:
    """The context with its locks in place of its requirements, where they are fresh; else as it is, with a warning.

    `required` makes an error of the warning, and of locks that are missing.
    """
    asks = any(each.requirements for each in context.environments)
    if is_locked(context) or not asks or not (required or has_locks(context)):
        return context
    target = engine.target(context)
    wrong = _not_fresh(find_locks(context, target))
    if not wrong:
        return apply_locks(context, target.name)
    if not required and all(lock.state == "missing" for lock in wrong):
        return context  # those there are, are of other platforms
    if required:
        _raise_for(wrong, context)
    what = ", ".join(f"{_show(lock, context)} is {lock.state}" for lock in wrong)
    reporter.note(f"warning: {what}: built of the requirements; to lock them again: {_command(context)}")
    return context


def _not_fresh(locks: Iterable[Lock]) -> list[Lock]:
    return [lock for lock in locks if lock.state != "fresh"]


def _raise_for(wrong: list[Lock], context: BuildContext) -> None:
    if wrong:
        lines = "".join(
            f"\n  {_show(lock, context)} is {lock.state}: "
            f"{lock.environment.requirements_file} for Python {lock.python} on {lock.platform}"
            for lock in wrong
        )
        raise StaleError(f"{context.name}: not locked ({context.kind}){lines}", hint=f"write it: {_command(context)}")


def _command(context: BuildContext) -> str:
    variant = "" if context.about.variant == "cpu" else f" --variant {context.about.variant}"
    return f"modelyard lock {Path(context.about.requirements).parent}{variant}"


def _show(lock: Lock, context: BuildContext) -> str:
    return str(lock.path.relative_to(context.about.builder.parent.parent))


def _environ(context: BuildContext) -> Mapping[str, str]:
    from modelyard.network import read_network_profile

    return {**os.environ, **context.arguments, **read_network_profile(os.environ).variables}


def _write(lock: Lock, environ: Mapping[str, str], *, upgrade: bool) -> None:
    from modelyard.machine.uv import find_uv  # what a build of locks that are there does not need
    from modelyard.requirements.lock import pin_requirements

    kept = lock.path.read_text(encoding="utf-8") if lock.path.is_file() and not upgrade else ""
    environment = lock.environment
    pins = pin_requirements(
        environment.requirements,
        python=lock.python,
        platform=lock.platform,
        file=environment.requirements_file,
        uv=find_uv(environ),
        environ=environ,
        before=kept,
        asked=environment.asked,
    )
    part = lock.path.with_name(f".{lock.path.name}.part")
    part.write_text(lock.format(pins), encoding="utf-8")
    part.replace(lock.path)
