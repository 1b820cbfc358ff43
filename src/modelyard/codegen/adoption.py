"""The files that a model directory lacks, for what somebody's folder holds: texts as values, written elsewhere."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modelyard.codegen.render import render
from modelyard.codegen.tree import GeneratedFile
from modelyard.errors import InputError
from modelyard.probe.old_makefile import includes_recipes, read_names, read_text
from modelyard.probe.samples import find_sample
from modelyard.probe.survey import (
    PREDICT,
    Candidate,
    Scripts,
    find_outside_imports,
    find_package,
    find_predict,
    find_train,
    read_scripts,
)
from modelyard.runtime.assembling.inspection import DISTRIBUTIONS
from modelyard.runtime.environment import Environment, format_environment, read_environment
from modelyard.workspace import ENVIRONMENT_FILE, INSTANCES_FILE, as_container_name

OLD_MAKEFILE = "Makefile.old"
_IMAGE_NAME = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*")
_HOUSE = frozenset({"utils", "common_utils", "kubeml", "modelyard"})


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """What is written into one model directory, what was found in it, and what a person should know."""

    files: Mapping[PurePosixPath, GeneratedFile]
    keeps_makefile: bool
    """Whether a Makefile is replaced, and kept as Makefile.old."""
    found: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """One folder, looked at; `notes` gathers what a person should know."""

    folder: Path
    project: str
    name: str
    scripts: Scripts
    environment: Environment
    train: Candidate | None
    predict: Candidate | None
    package: str
    notes: list[str] = field(default_factory=list)


def plan_model(folder: Path, *, project: str, name: str, replaces: bool) -> ModelFiles:
    """Plan the files that `folder` lacks to be the model directory `project/name`.

    `replaces` has a Makefile with recipes of its own replaced. Raises InputError for what can't be decided or read.
    """
    finding = _look(folder, project=project, name=name)
    files = {ENVIRONMENT_FILE: _complete_environment(finding), INSTANCES_FILE: _make_instances(finding)}
    for kind in ("train", "predict"):
        files[f"requirements_{kind}.txt"] = _make_requirements(finding, kind)
    makefile, keeps = _make_makefile(finding, replaces=replaces)
    files["Makefile"] = makefile
    return ModelFiles(
        files={PurePosixPath(path): GeneratedFile(text) for path, text in files.items() if text is not None},
        keeps_makefile=keeps,
        found=_describe(finding),
        notes=tuple(finding.notes),
    )


def find_own_names(folder: Path) -> tuple[str, ...]:
    """What a folder's own environment file calls its package: the project and the model, or the project, or nothing."""
    path = folder / ENVIRONMENT_FILE
    return tuple(_named_package(read_environment(path)).split(".")) if path.is_file() else ()


def check_no_old_makefile(folder: Path) -> None:
    """Raise InputError where the place to keep a folder's Makefile in is taken."""
    path = folder / OLD_MAKEFILE
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: already there, and the Makefile would be kept under this name", hint="rename it")


def _look(folder: Path, *, project: str, name: str) -> _Finding:
    path = folder / ENVIRONMENT_FILE
    environment = read_environment(path) if path.is_file() else Environment(source=path)
    scripts = read_scripts(folder)
    serves = "ROUTES" in environment or "PREDICT_MODULE" in environment
    trains = "TRAIN_MODULE" in environment
    predict = None if serves else find_predict(scripts, class_name=_class_name(environment))
    train = None if trains else find_train(scripts)
    if not serves and not trains and predict is None and train is None:
        raise _nothing_to_call(folder, scripts)
    package = _named_package(environment) if serves or trains else find_package(scripts, project=project, model=name)
    finding = _Finding(
        folder=folder,
        project=project,
        name=name,
        scripts=scripts,
        environment=environment,
        train=train,
        predict=predict,
        package=package,
    )
    finding.notes.extend(_find_gaps(finding, serves=serves, trains=trains))
    return finding


def _find_gaps(finding: _Finding, *, serves: bool, trains: bool) -> list[str]:
    gaps = [f"{error.message} ({error.hint})" for error in finding.scripts.broken.values()]
    if not serves and finding.predict is None:
        gaps.append("nothing answers requests: write predict.py with def predict(msg), and ROUTES")
    if not trains and finding.train is None:
        gaps.append("nothing trains it: modelyard train needs train.py with def train(msg), and TRAIN_MODULE")
    if (finding.folder / "utils.py").is_file():
        gaps.append("utils.py has the name of the workspace's utils/: rename it, and where it is imported")
    return gaps


def _nothing_to_call(folder: Path, scripts: Scripts) -> InputError:
    if scripts.broken:
        return next(iter(scripts.broken.values()))
    what = (
        f"{', '.join(f'{name}.py' for name in scripts.trees)} define" if scripts.trees else "it has no Python file with"
    )
    return InputError(
        f"{folder}: nothing here can be called: {what} no function that trains or answers",
        hint="put the code of a script into a function: def train(msg) in train.py, def predict(msg) in predict.py",
    )


def _class_name(environment: Mapping[str, str]) -> str | None:
    """The class that Seldon's builder image is told to serve."""
    is_seldon = "MODEL_NAME" in environment and {"API_TYPE", "SERVICE_TYPE", "PERSISTENCE"} & environment.keys()
    return environment["MODEL_NAME"] if is_seldon else None


def _named_package(environment: Environment) -> str:
    routes = environment.get("ROUTES", "").partition(",")[0].split(":")
    modules = [environment.get("TRAIN_MODULE"), environment.get("PREDICT_MODULE"), *routes[1:2]]
    return next((module.rpartition(".")[0] for module in modules if module), "")


def _complete_environment(finding: _Finding) -> str | None:
    """The environment file with the lines that it lacks added at its end; None where it lacks none."""
    prefix = f"{finding.package}." if finding.package else ""
    lines: dict[str, str] = {}
    if finding.predict is not None:
        route = as_container_name(f"{finding.project}-{finding.name}")
        lines["ROUTES"] = f"{route}:{prefix}{finding.predict.module}:{finding.predict.name}"
    if finding.train is not None:
        lines["TRAIN_MODULE"] = f"{prefix}{finding.train.module}"
        if finding.train.name != "train":
            lines["TRAIN_FUNCTION"] = finding.train.name
    if not lines:
        return None
    before = read_text(finding.folder / ENVIRONMENT_FILE) or ""
    return f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{format_environment(lines)}"


def _make_instances(finding: _Finding) -> str | None:
    if (finding.folder / INSTANCES_FILE).is_file():
        return None
    sample = find_sample(finding.folder)
    if sample is None:
        finding.notes.append(
            f'{INSTANCES_FILE}: no example of a request was found: write one in place of {{"instances": []}}'
        )
        return '{"instances": []}\n'
    payload, source = sample
    finding.notes.append(f"{INSTANCES_FILE} is the request in {source}")
    return json.dumps(payload) + "\n"


def _make_requirements(finding: _Finding, kind: str) -> str | None:
    name = f"requirements_{kind}.txt"
    if (finding.folder / name).is_file():
        return None
    shared = finding.folder / "requirements.txt"
    imported = find_outside_imports(finding.scripts)
    if shared.is_file():
        lines = shared.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        if "seldon_core" not in imported:  # Seldon's server is in the gateway's place
            lines = [line for line in lines if not re.match(r"seldon[-_]core\b", line.strip(), re.IGNORECASE)]
    else:
        outside = [top for top in imported if top not in sys.stdlib_module_names and top not in _HOUSE]
        lines = [DISTRIBUTIONS.get(top, top.replace("_", "-")) for top in outside if top != finding.project]
        if lines:
            finding.notes.append(f"{name}: {', '.join(lines)}, as the imports say: add the versions that it needs")
    if finding.predict is not None and finding.predict.is_class and kind == PREDICT:
        lines += [] if any(re.match(r"numpy\b", line) for line in lines) else ["numpy"]
    return "".join(f"{line}\n" for line in lines) or None


def _make_makefile(finding: _Finding, *, replaces: bool) -> tuple[str | None, bool]:
    """The Makefile of three names and the include, and whether it stands in the place of one that is to be kept."""
    old = read_text(finding.folder / "Makefile")
    if old is not None and includes_recipes(old):
        return None, False
    if old is not None and not replaces:
        finding.notes.append("Makefile: kept with its own recipes; --force replaces it, and keeps it as Makefile.old")
        return None, False
    if old is not None:
        check_no_old_makefile(finding.folder)
    names = read_names(old or "")
    dataset = _as_dataset(names.get("DATASET_NAME", ""), finding.notes)
    default = as_container_name(f"{finding.project}-{finding.name}")
    text = render(
        "model/Makefile",
        model_name=names.get("MODEL_NAME", "").rpartition("/")[2] or f"{finding.project}_{finding.name}",
        dataset=f" {dataset}" if dataset else "",
        container_name=_as_image_name(names.get("CONTAINER_NAME", ""), finding.notes) or default,
    )
    if old is not None:
        finding.notes.append(f"Makefile: three names and the include; the old one is {OLD_MAKEFILE}")
    return text, old is not None


def _as_image_name(name: str, notes: list[str]) -> str:
    """A container's name as it is, or what is left of an image's address."""
    if not name or _IMAGE_NAME.fullmatch(name):
        return name
    short = as_container_name(name.rpartition("/")[2].partition(":")[0])
    notes.append(f"CONTAINER_NAME {name!r} becomes {short!r}")
    return short


def _as_dataset(name: str, notes: list[str]) -> str:
    """The file below the project's data/."""
    short = name.removeprefix("./").removeprefix("data/")
    if short.startswith("/") or "://" in short or ".." in short.split("/"):
        notes.append(f"DATASET_NAME {name!r} is left out: name a file below the project's data/")
        return ""
    return short


def _describe(finding: _Finding) -> str:
    layout = {
        "": "module paths at the root",
        f"{finding.project}.{finding.name}": f"module paths below {finding.project}.{finding.name}",
    }.get(finding.package, f"module paths below {finding.package}")
    is_seldon = (finding.predict is not None and finding.predict.is_class) or bool(_class_name(finding.environment))
    if is_seldon:
        layout = f"a Seldon style class, {layout}"
    elif not finding.environment:
        layout = f"a folder of scripts, {layout}"
    calls = [f"trained by {finding.train}"] if finding.train else []
    calls += [f"answers by {finding.predict}"] if finding.predict else []
    return "; ".join([layout, *calls])
