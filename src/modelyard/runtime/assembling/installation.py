"""Make virtual environments with uv, and say which line is to blame when requirements can't be installed."""

import re
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelyard.runtime.assembling.pythons import choose_target, uv_environ
from modelyard.runtime.assembling.variants import (
    choose_torch_backend,
    find_cpu_torch,
    find_cpu_wheels,
    find_gpu_packages,
    format_overrides,
)
from modelyard.runtime.errors import ModelyardError
from modelyard.runtime.scratch import scratch_folder
from modelyard.runtime.text_lines import split_lines

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LAST_LINES = 40
# What uv says where another Python could help: no wheel, or no version, of a package is for this one.
_OF_PYTHON = re.compile(r"Python version|Python ABI tag|(requires|depends on) Python ?[<>=!~]")
_BUILDING = re.compile(r"Failed to (download and )?build")
_UNTRUSTED = re.compile(r"Hash mismatch|no trusted hash")


def make_environment(path: Path, *, python: str, uv: str, environ: Mapping[str, str]) -> Path:
    """Make an empty virtual environment at `path` of the interpreter `python`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    output, code = _run([uv, "venv", "--quiet", "--no-project", "--python", python, str(path)], environ)
    if code:
        raise ModelyardError(
            f"uv could not make the environment {path} of {python}", hint=output[-1] if output else None
        )
    return path


def install_requirements(
    environment: Path, requirements: Path, *, uv: str, environ: Mapping[str, str], asked: str = ""
) -> None:
    """Install a requirements file; raise ModelyardError naming the lines that uv's complaint is about.

    `asked` says what asks for the environment's Python, where something does.
    EXCLUDED_PACKAGES are left out even where others require them; TORCH_BACKEND says where torch comes from, and what
    would bring GPU libraries where it is `cpu`, or torch for the CPU where it is not, is refused. A lock (`.lock`) has
    to hold the hash of all that is installed. Modules are compiled, for a container may not be able to do it later,
    unless UV_COMPILE_BYTECODE says otherwise.
    """
    names = read_names(requirements)
    if not names:
        return
    environ = {"UV_COMPILE_BYTECODE": "1", **environ}
    file = environ.get("MODELYARD_REQUIREMENTS_FILE") or requirements.name
    with scratch_folder() as folder:
        overrides, constraints = folder / "overrides.txt", folder / "constraints.txt"
        excluded = environ.get("EXCLUDED_PACKAGES", "").split()
        overrides.write_text(format_overrides(excluded), encoding="utf-8")
        wheels = find_cpu_wheels(environ)
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in wheels.items()), encoding="utf-8")
        command = [uv, "pip", "install", "--python", str(environment / "bin" / "python")]
        command += ["--requirement", str(requirements)]
        command += ["--override", str(overrides)] if excluded else []  # uv warns of an empty file
        command += [*choose_target(environ), *choose_torch_backend(names, environ)]
        command += ["--no-index"] if environ.get("UV_NO_INDEX") else []
        command += ["--require-hashes"] if file.endswith(".lock") else []
        if environ.get("TORCH_BACKEND") == "cpu":
            options = ["--constraint", str(constraints)] if wheels else []
            command += _choose_constraints(command, options, requirements, file, environ)
        elif environ.get("TORCH_BACKEND"):
            _refuse_cpu_torch(command, file, environ)
        output, code = _run(command, environ)
    if code:
        raise ModelyardError(explain_failure(output, requirements, file=file), hint=find_hint(output, asked=asked))


def _choose_constraints(
    command: Sequence[str], options: Sequence[str], requirements: Path, file: str, environ: Mapping[str, str]
) -> Sequence[str]:
    """The constraints, unless the requirements ask for something else; refuse a resolution with GPU libraries."""
    code, plan = ask_uv([*command, *options, "--dry-run"], environ)
    if code:
        options = []
        code, plan = ask_uv([*command, "--dry-run"], environ)
    packages = find_gpu_packages(plan) if not code else ()
    if packages:
        raise ModelyardError(
            f"{file}: variant cpu, but {packages[0]} and {len(packages) - 1} more GPU packages would be installed",
            hint=f"{find_gpu_hint(packages, requirements, file=file)}, or build with VARIANT=cuda",
        )
    return options


def find_gpu_hint(packages: Sequence[str], requirements: Path, *, file: str) -> str:
    """What keeps GPU packages (`name==version`) out: without the lines that name them, else another torch."""
    names = read_names(requirements) if not file.endswith(".lock") else {}  # which names what others require as well
    named = sorted(number for package in packages for number in names.get(normalise(package.partition("==")[0]), ()))
    if named:
        return f"remove {', '.join(f'{file}:{number}' for number in named)}"
    return "take torch from an index or a wheelhouse with +cpu wheels"


def _refuse_cpu_torch(command: Sequence[str], file: str, environ: Mapping[str, str]) -> None:
    """Refuse a resolution of the CUDA variant whose torch knows no CUDA: it would be found out on the card."""
    code, plan = ask_uv([*command, "--dry-run"], environ)
    packages = find_cpu_torch(plan) if not code else ()
    if packages:
        raise ModelyardError(
            f"{file}: variant cuda, but {packages[0]} would be installed, which knows no CUDA",
            hint="name the CUDA version in builders/cuda.args (TORCH_BACKEND=cu130; auto looks at the driver of this "
            "machine), take torch from a wheelhouse with CUDA wheels, or build with VARIANT=cpu",
        )


def read_names(requirements: Path) -> dict[str, list[int]]:
    """The distributions that a requirements file names, normalised, each with its lines."""
    names: dict[str, list[int]] = {}
    text = requirements.read_text(encoding="utf-8-sig") if requirements.is_file() else ""
    for number, line in enumerate(split_lines(text), start=1):
        match = _NAME.match(line.strip())
        if match:
            names.setdefault(normalise(match[0]), []).append(number)
    return names


def normalise(name: str) -> str:
    """Write a distribution's name as indexes compare it (PEP 503).

    >>> normalise("Scikit_Learn")
    'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def explain_failure(output: Sequence[str], requirements: Path, *, file: str) -> str:
    """Say which lines of the requirements file name a package that uv's last words are about; `file` is its name."""
    output = [line for line in output if _UNTRUSTED.search(line)] or output
    said = {
        normalise(word.rstrip(".")) for line in output for word in _NAME.findall(re.sub(r"[=<>!~]=?\S*", " ", line))
    }
    lines = [line.strip(" \\") for line in split_lines(requirements.read_text(encoding="utf-8-sig"))]
    blamed = sorted(number for name, numbers in read_names(requirements).items() if name in said for number in numbers)
    blamed = blamed or [number for number, line in enumerate(lines, start=1) if _names_file(line, "\n".join(output))]
    about = "".join(f"\n  {file}:{number}: {lines[number - 1]}" for number in blamed)
    return "the requirements could not be installed" + (f"; uv's complaint is about\n{about[1:]}" if about else "")


def _names_file(line: str, said: str) -> bool:
    """Whether a requirement is an address whose file uv's words are about."""
    file = line.partition(" @ ")[2].partition(";")[0].partition("#")[0].strip().rpartition("/")[2]
    return bool(file) and file in said


def find_hint(output: Sequence[str], *, asked: str = "") -> str:
    """What to do next, by what uv said; `asked` says what asks for the Python, where something does."""
    said = "\n".join(output)
    if _UNTRUSTED.search(said):
        return "it is not what was locked: find out why, and lock again (modelyard lock) only where that is right"
    if re.search(r"Failed to fetch|error sending request|dns error|tcp connect|timed out|Connection refused", said):
        return "the package index could not be reached: check index, proxy and CA settings with `modelyard doctor`"
    if hint := find_python_hint(said, asked=asked):
        return hint
    if re.search(r"No solution found|unsatisfiable|Because ", said):
        return "loosen or correct one of these lines"
    if "No space left" in said:
        return "free disk space: modelyard prune removes what no image uses"
    return "uv's own words stand above"


def find_python_hint(said: str, *, asked: str = "") -> str:
    """What to do next where uv says that it is for want of another Python; empty where it does not.

    >>> find_python_hint("no wheels with a matching Python ABI tag", asked="rf/.python-version:1 asks for Python 3.9")
    'rf/.python-version:1 asks for Python 3.9: ask for another there, or loosen or correct the lines'
    """
    if asked and (_OF_PYTHON.search(said) or _BUILDING.search(said)):  # most packages are built for want of a wheel
        return f"{asked}: ask for another there, or loosen or correct the lines"
    if _OF_PYTHON.search(said):
        return "loosen or correct the lines, or ask for another Python in a file .python-version of the model directory"
    return ""


def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], int]:
    """Run a command, pass its output on line by line, and return the last lines with the exit code."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with _naming_uv(command):
        process = subprocess.Popen(
            command,
            env=uv_environ(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    with process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last.append(line.rstrip())
    return list(last), process.returncode


def ask_uv(command: Sequence[str], environ: Mapping[str, str], *, cwd: Path | None = None) -> tuple[int, str]:
    """Run uv; return its exit code and what it says on standard error. Raises ModelyardError where there is none."""
    with _naming_uv(command):
        done = subprocess.run(
            command,
            env=uv_environ(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    return done.returncode, done.stderr


@contextmanager
def _naming_uv(command: Sequence[str]) -> Iterator[None]:
    """Raise ModelyardError where the uv of a command can't be run."""
    try:
        yield
    except OSError as error:
        raise ModelyardError(
            f"uv can't be run: {command[0]}: {error.strerror}",
            hint="the variable UV names it: correct it, or unset it to take the one that came with modelyard",
        ) from None
