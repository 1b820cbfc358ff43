"""The graph of a flow's steps, as text, Mermaid or Graphviz."""

from collections.abc import Callable, Iterator, Mapping

from modelyard.flows.definition import Flow, Step


def draw_text(flow: Flow, states: Mapping[str, str]) -> str:
    """One line a step, in order, with what it takes from which.

    Such as `train  <- prep (index)  [up to date]`.
    """
    width = max(len(name) for name in flow.steps)
    return "\n".join(_line(step, states, width) for step in flow.steps.values())


def _line(step: Step, states: Mapping[str, str], width: int) -> str:
    takes = [f"{need} ({', '.join(_outputs(step, need))})" for need in step.needs]
    arrow = f"  <- {', '.join(takes)}" if takes else ""
    state = states.get(step.name)
    return f"{step.name:{width}}{arrow}{f'  [{state}]' if state else ''}"


def draw_mermaid(flow: Flow, states: Mapping[str, str]) -> str:
    """A Mermaid flowchart, as GitHub shows it."""
    lines = ["flowchart LR"]
    for step in flow.steps.values():
        state = states.get(step.name)
        lines.append(f'  {_id(step.name)}["{step.name}{f"<br/>{state}" if state else ""}"]')
        lines += [f"  {_id(need)} -->|{', '.join(_outputs(step, need))}| {_id(step.name)}" for need in step.needs]
    return "\n".join(lines)


def draw_dot(flow: Flow, states: Mapping[str, str]) -> str:
    """A Graphviz digraph."""
    lines = ["digraph flow {", "  rankdir=LR; node [shape=box];"]
    for step in flow.steps.values():
        state = states.get(step.name)
        label = f"{step.name}\\n{state}" if state else step.name
        lines.append(f'  "{step.name}" [label="{label}"];')
        lines += [f'  "{need}" -> "{step.name}" [label="{", ".join(_outputs(step, need))}"];' for need in step.needs]
    return "\n".join([*lines, "}"])


def _outputs(step: Step, need: str) -> Iterator[str]:
    return (source.output or "" for source in step.inputs.values() if source.step == need)


def _id(name: str) -> str:
    """Mermaid takes some words, such as `end`, for its own."""
    return f"step_{name.replace('-', '_')}"


FORMS: Mapping[str, Callable[[Flow, Mapping[str, str]], str]] = {
    "text": draw_text,
    "mermaid": draw_mermaid,
    "dot": draw_dot,
}
