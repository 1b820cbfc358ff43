"""Which steps would run, and why; before anything does."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelyard.flows.config import Config
from modelyard.flows.definition import Flow, Step
from modelyard.flows.keys import Basis, StepSource, make_basis
from modelyard.flows.reasons import FileText, explain
from modelyard.flows.records import Records

Action = Literal["run", "reuse", "depends"]
DigestOf = Callable[[Step, str], str]
"""The digest of an input, by its name, that is a path in the project."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done for a step; `depends` where that is seen when the steps before it have run."""

    step: Step
    action: Action
    why: tuple[str, ...] = ()
    basis: Basis | None = None
    result: Mapping[str, Any] | None = None
    """What came of the same key before."""


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Decides for one step after the other."""

    flow: Flow
    config: Config
    records: Records
    sources: Mapping[str, StepSource]
    """What each step is run of, by its name."""
    digest_of: DigestOf
    text_of: FileText
    forced: Collection[str] = ()

    def plan(self) -> list[Decision]:
        """Decide for every step, as far as that can be told now."""
        decisions: dict[str, Decision] = {}
        for name, step in self.flow.steps.items():
            unsure = [each for each in step.needs if decisions[each].action != "reuse"]
            if unsure:
                decisions[name] = self._wait(step, unsure)
            else:
                results = {each: decisions[each].result or {} for each in step.needs}
                decisions[name] = self.decide(step, results)
        return list(decisions.values())

    def decide(self, step: Step, results: Mapping[str, Mapping[str, Any]]) -> Decision:
        """Decide for a step whose inputs are there; `results` are those of the steps that it needs."""
        basis = make_basis(step, self.config, self.sources[step.name], self._input_digests(step, results))
        if step.name in self.forced:
            return Decision(step=step, action="run", why=("it is forced",), basis=basis)
        if not step.cache:
            return Decision(step=step, action="run", why=("it runs every time (cache: false)",), basis=basis)
        result = self.records.result(basis.key)
        if result is not None:
            return Decision(step=step, action="reuse", basis=basis, result=result)
        return Decision(step=step, action="run", why=self._explain(step, basis), basis=basis)

    def _explain(self, step: Step, basis: Basis) -> tuple[str, ...]:
        last = self.records.last_result(step.name)
        if last is None:
            return ("it has not run yet",)
        why = explain(basis, last["basis"], text_of=self.text_of)
        return tuple(why) or ("what it made is gone",)

    def _wait(self, step: Step, unsure: list[str]) -> Decision:
        if step.name in self.forced or not step.cache:
            return Decision(step=step, action="run", why=("it is forced" if step.cache else "it runs every time",))
        last = self.records.last_result(step.name)
        if last is None:
            return Decision(step=step, action="run", why=("it has not run yet",))
        as_before = make_basis(step, self.config, self.sources[step.name], last["basis"]["inputs"])
        why = explain(as_before, last["basis"], text_of=self.text_of)
        if why:
            return Decision(step=step, action="run", why=tuple(why))
        return Decision(step=step, action="depends", why=(f"where {' or '.join(unsure)} makes something else",))

    def _input_digests(self, step: Step, results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        return {
            name: results[source.step]["outputs"][source.output]["digest"]
            if source.step
            else self.digest_of(step, name)
            for name, source in step.inputs.items()
        }
