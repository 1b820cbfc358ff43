"""Check one model directory: everything that its files name is there."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from modelyard.errors import InputError, at
from modelyard.probe.imports import ImportCheck
from modelyard.probe.instances import read_instances
from modelyard.probe.layout import layout_of_model
from modelyard.requirements.parse import RequirementLine, read_requirements
from modelyard.runtime.assembling.inspection import check_callable, describe_functions, find_functions, find_module
from modelyard.runtime.environment import check_variables
from modelyard.workspace import Kind, ModelDirectory, Workspace, describe

SETUP_FILE = "setup.sh"
KINDS: tuple[Kind, ...] = ("train", "predict")


def check_model(workspace: Workspace, model: ModelDirectory, *, kind: Kind | None = None) -> None:
    """Raise InputError naming everything that `probe_model` finds wrong."""
    raise_findings(probe_model(workspace, model, kind=kind))


def probe_model(workspace: Workspace, model: ModelDirectory, *, kind: Kind | None = None) -> tuple[InputError, ...]:
    """Find everything that is wrong in a model directory; `kind` looks only at what that kind of image needs."""
    kinds = (kind,) if kind else KINDS
    findings = [*_findings(lambda: _check_environment(model), lambda: read_setup(model, root=workspace.root))]
    findings += _findings(*(partial(read_model_requirements, model, one, root=workspace.root) for one in kinds))
    if "predict" in kinds:
        findings += _findings(lambda: read_instances(model))
    if not findings:
        findings += _findings(lambda: find_entries(workspace, model, kinds))
    if not findings:
        check = ImportCheck(layout_of_model(workspace, model), workspace.root)
        findings += check.find_broken(model, find_entries(workspace, model, kinds))
    return tuple(findings)


def _check_environment(model: ModelDirectory) -> None:
    _ = model.package  # raises for modules that belong nowhere
    check_variables(model.environment)


def find_entries(workspace: Workspace, model: ModelDirectory, kinds: Sequence[Kind] = KINDS) -> tuple[str, ...]:
    """The modules that training or serving a model calls; raise InputError where one lacks its function."""
    modules = []
    if "train" in kinds:
        module, function = model.train_entry
        find_entry(
            model, module, function, place=where(model, "TRAIN_MODULE", root=workspace.root), root=workspace.root
        )
        modules.append(module)
    if "predict" in kinds:
        key = "ROUTES" if model.routes else "PREDICT_MODULE"
        if not model.served_routes:
            raise InputError(
                f"{describe(Path(model.environment.source), root=workspace.root)}: names no route to serve",
                hint=f"add a line such as ROUTES={model.name}:{model.package or model.project}.predict:predict",
            )
        for route in model.served_routes:
            place = where(model, key, root=workspace.root)
            find_entry(model, route.module, route.function, place=place, root=workspace.root)
            modules.append(route.module)
    return tuple(dict.fromkeys(modules))


def find_entry(model: ModelDirectory, module: str, function: str, *, place: str, root: Path) -> Path:
    """The file that is staged as `module`; raise InputError where it is missing or does not define `function`."""
    leaf = module.rpartition(".")[2]
    path = find_module(model.path, leaf)
    if path is None:
        raise InputError(
            f"{place}: names the module {module!r}, but there is no {describe(model.path, root=root)}/{leaf}.py",
            hint="correct the name, or add the file",
        )
    names = find_functions(path)
    if function not in names and not {"*", "__getattr__"} & names.keys():
        raise InputError(
            f"{place}: names the function {function!r}, but {describe(path, root=root)} does not define it",
            hint=f"it defines {describe_functions(path, wanted=function)}",
        )
    check_callable(path, function, shown=describe(path, root=root))
    return path


def read_model_requirements(model: ModelDirectory, kind: Kind, *, root: Path) -> tuple[RequirementLine, ...]:
    """The lines of `requirements_<kind>.txt`, which are asked for by the model directory's name."""
    path = model.requirements(kind)
    return read_requirements(path, shown=describe(path, root=root), origin=model.full_name)


def read_setup(model: ModelDirectory, *, root: Path) -> str | None:
    """The text of a model directory's setup.sh, or None; raise InputError for one that bash can't run."""
    path = model.path / SETUP_FILE
    if not path.is_file():
        return None
    shown = describe(path, root=root)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}: not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None
    before, ending, _ = text.partition("\r\n")
    if ending:
        raise InputError(
            f"{at(shown, before.count(chr(10)) + 1)}: Windows line ends (CRLF), which bash reads as commands",
            hint=f"save it with LF line ends: sed -i 's/\\r$//' {shown}",
        )
    if "\0" in text:
        raise InputError(f"{shown}: holds a NUL byte", hint="remove it")
    return text


def where(model: ModelDirectory, key: str, *, root: Path) -> str:
    """The file and line where a model directory's environment sets `key`."""
    return describe(Path(model.environment.source), model.environment.lines.get(key), root=root)


def raise_findings(findings: Sequence[InputError]) -> None:
    """Raise one error of all findings; nothing where there is none."""
    if len(findings) == 1:
        raise findings[0]
    if findings:
        message = "\n".join(finding.message for finding in findings)
        hints = dict.fromkeys(finding.hint for finding in findings if finding.hint)
        raise InputError(message, hint="\n".join(hints))


def _findings(*checks: Callable[[], object]) -> Iterator[InputError]:
    for check in checks:
        try:
            check()
        except InputError as error:
            yield error
