"""What the steps of a flow are run of: staged application source, or the files that a command names."""

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.commands.building import BuildRequest, Limits, staged
from modelyard.context.build_context import BuildContext
from modelyard.errors import InputError, WorkspaceError
from modelyard.flows.artifacts import digest_file
from modelyard.flows.definition import PLACEHOLDER, Flow, Step
from modelyard.flows.keys import StepSource
from modelyard.runtime.nearest import ask_whether_meant, describe_choices
from modelyard.workspace import ModelDirectory, Workspace

_MOST_KEPT = 1 << 18  # bytes of a source file that is kept to name lines of it


@dataclass(frozen=True, kw_only=True)
class FlowSources:
    """The source of every step, and the texts by digest."""

    steps: Mapping[str, StepSource]
    models: Mapping[str, ModelDirectory]
    """The model directory of each step that is a function."""
    texts: Mapping[str, bytes] = field(default_factory=dict)

    def entry(self, step: Step) -> tuple[str, str]:
        """Module and function of a step, as they are imported in its image."""
        module, _, function = (step.run or "").partition(":")
        package = self.models[step.name].package
        is_full = not package or module == package or module.startswith(f"{package}.")
        return (module if is_full else f"{package}.{module}"), function


def read_sources(flow: Flow, workspace: Workspace, *, variant: str, limits: Limits) -> FlowSources:
    """Stage each model directory once, without an engine; raise InputError for a function that is not there."""
    models = {step.name: find_model(step, flow, workspace) for step in flow.steps.values() if step.run}
    texts: dict[str, bytes] = {}
    by_model: dict[Path, StepSource] = {}
    for model in dict.fromkeys(models.values()):
        request = BuildRequest(workspace=workspace, subject=model, kind="train", variant=variant, limits=limits)
        with staged(request) as context:
            by_model[model.path] = _read_context(context, texts)
    steps = {
        name: by_model[models[name].path] if name in models else _read_command(step, flow, texts)
        for name, step in flow.steps.items()
    }
    sources = FlowSources(steps=steps, models=models, texts=texts)
    for step in flow.steps.values():
        if step.run:
            _check_function(step, flow, models[step.name], sources)
    return sources


def find_model(step: Step, flow: Flow, workspace: Workspace) -> ModelDirectory:
    """The model directory in whose image a step runs; raise InputError where none, or more than one, may be meant."""
    models = workspace.model_directories(flow.project.name)
    names = [model.name for model in models]
    where = flow.document.where("steps", step.name, "model" if step.model else "run")
    if step.model is None:
        if len(models) == 1:
            return models[0]
        what = f"{len(models)} model directories" if models else "no model directory"
        raise InputError(
            f"{where}: {step.name} names no model, and the project has {what}",
            hint=f"add model: to the step (there are: {describe_choices('', names)})",
        )
    if step.model not in names:
        raise WorkspaceError(
            f"{where}: there is no model directory {step.model!r}{ask_whether_meant(step.model, names)}",
            hint=f"model directories of {flow.project.name}: {describe_choices(step.model, names)}",
        )
    return models[names.index(step.model)]


def _read_context(context: BuildContext, texts: dict[str, bytes]) -> StepSource:
    files = {}
    for path in sorted(path for path in context.source.rglob("*") if path.is_file()):
        files[path.relative_to(context.source).as_posix()] = _digest(path, texts)
    about = context.about
    return StepSource(files=files, requirements=f"{about.variant} {context.dependencies_digest}")


def _read_command(step: Step, flow: Flow, texts: dict[str, bytes]) -> StepSource:
    words = [word for word in step.words if not PLACEHOLDER.search(word)]
    named = {word: flow.project / word for word in words}
    return StepSource(files={word: _digest(path, texts) for word, path in named.items() if path.is_file()})


def _digest(path: Path, texts: dict[str, bytes]) -> str:
    if path.stat().st_size > _MOST_KEPT:
        return digest_file(path)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    texts[digest] = content
    return digest


def _check_function(step: Step, flow: Flow, model: ModelDirectory, sources: FlowSources) -> None:
    module, function = sources.entry(step)
    files = sources.steps[step.name].files
    name = f"{module.replace('.', '/')}.py"
    where = flow.document.where("steps", step.name, "run")
    if name not in files and f"{module.replace('.', '/')}/__init__.py" not in files:
        known = [path.removesuffix(".py").replace("/", ".") for path in files if path.endswith(".py")]
        package = f"{model.package}." if model.package else ""
        own = [each.removeprefix(package) for each in known if each.startswith(package)]
        written = module.removeprefix(package)
        raise InputError(
            f"{where}: {step.run}: {model.path} has no module {written}{ask_whether_meant(written, own)}",
            hint=f"modules: {describe_choices(written, own)}",
        )
    names = list(_defined_names(sources.texts.get(files.get(name, ""), b"")))
    if names and function not in names:
        raise InputError(
            f"{where}: {step.run}: {name} has no function {function}{ask_whether_meant(function, names)}",
            hint=f"it defines: {describe_choices(function, names)}",
        )


def _defined_names(source: bytes) -> Iterator[str]:
    """What a module defines at its top; nothing where that can't be told."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif not isinstance(node, ast.Expr):
            return
    if "*" not in names:
        yield from names


def text_finder(sources: FlowSources, kept: Callable[[str], str | None]) -> Callable[[str, str], str | None]:
    """Find the text of a file by its digest: of now, or of what was kept."""

    def find(_path: str, digest: str) -> str | None:
        if digest not in sources.texts:
            return kept(digest)
        try:
            return sources.texts[digest].decode()
        except UnicodeDecodeError:
            return None

    return find
