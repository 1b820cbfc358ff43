"""What a step depends on, and the key that is the digest of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from modelyard.context.build_context import digest_parts
from modelyard.flows.config import Config
from modelyard.flows.definition import Search, Step

SCHEMA = "1"


@dataclass(frozen=True, kw_only=True)
class StepSource:
    """What a step is run of: of a function the application source and requirements, of a command the files it names."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Path to the digest of its content."""
    requirements: str = ""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """All that decides what a step makes."""

    work: str
    source: StepSource
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    search: Mapping[str, Any] | None = None

    @property
    def about(self) -> dict[str, Any]:
        """As records have it."""
        return asdict(self)

    @property
    def key(self) -> str:
        """Its digest."""
        return digest_parts([SCHEMA.encode(), json.dumps(self.about, sort_keys=True).encode()])


def make_basis(step: Step, config: Config, source: StepSource, inputs: Mapping[str, str]) -> Basis:
    """What a step depends on, its inputs by their digests."""
    return Basis(
        work=f"{step.model or ''} {step.run}" if step.run else step.command or "",
        source=source,
        params=config.pick(step.params),
        inputs=dict(inputs),
        outputs=dict(step.outputs),
        search=describe_search(step.search, config) if step.search else None,
    )


def describe_search(search: Search, config: Config) -> dict[str, Any]:
    """What of a search decides its result: not how many trials run side by side."""
    from modelyard.flows.search import count_trials, resolve_space

    about = {**asdict(search), "over": resolve_space(search, config), "trials": count_trials(search, config)}
    about.pop("parallel")
    return about
