"""Install requirements for an image on this machine: uv takes wheels that fit the image's Python, nothing is started.

It is the builder's own assemble that does it, as in a container; only what environments are made of is another.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.context.build_context import BuildContext
from modelyard.errors import BuildError, InputError
from modelyard.images.builder import ENVIRONMENTS
from modelyard.images.interpreter import Interpreter
from modelyard.images.layer import Layer, write_files_layer
from modelyard.images.shelves import Shelf
from modelyard.machine.failure import explain_build_failure
from modelyard.machine.home import Home
from modelyard.machine.lib import digest_runtime, install_runtime
from modelyard.machine.output import OnOutput
from modelyard.machine.process import inherit, run_command
from modelyard.machine.uv import find_uv
from modelyard.runtime.assembling.pythons import TARGET, find_python, is_version, read_full_version

# uv's words for what has to be built, which only a container of the image can do.
_NO_WHEEL = ("no usable wheels", "building from source is disabled", "source distributions is disabled")


class NeedsContainerError(BuildError):
    """These requirements can't be installed outside a container; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A folder of this machine for the environments of an image, and this machine's Python that makes them."""

    root: Path
    interpreter: Interpreter
    python: str
    environ: Mapping[str, str]

    @property
    def compiler(self) -> str:
        """The version of Python that compiles: another one may write other bytes."""
        return read_full_version(self.python)

    def install(self, context: BuildContext, network: Mapping[str, str], on_output: OnOutput) -> None:
        """Make the environments of a context; raise BuildError with uv's last words."""
        self.install_source(
            context.source,
            name=context.name,
            requirements_file=context.about.requirements,
            arguments=context.arguments,
            network=network,
            on_output=on_output,
            assemble=context.scripts / "assemble",
        )

    def install_source(
        self,
        source: Path,
        *,
        name: str,
        requirements_file: str,
        arguments: Mapping[str, str],
        network: Mapping[str, str],
        on_output: OnOutput,
        assemble: Path | None = None,
    ) -> None:
        """Make the environments that `source` describes; raise BuildError with uv's last words.

        `name` and `requirements_file` are what errors call them; `assemble` is the builder's own script.
        """
        lib = str(install_runtime(Home.from_environ(self.environ), digest_runtime()))
        variables = {
            **inherit(self.environ),
            **arguments,
            **network,
            TARGET: f"{self.interpreter.version} {self.interpreter.platform}",
            "UV": find_uv(self.environ),
            "UV_COMPILE_BYTECODE": "0",  # only what ends up in a new layer
            "UV_VENV_RELOCATABLE": "1",  # no path of this machine in any script
            "PYTHONPATH": lib,
            "APP_ROOT": str(self.root),
            "S2I_SOURCE": str(source),
            "MODELYARD_LIB": lib,
            "MODELYARD_ENVIRONMENTS": str(self.root),
            "MODELYARD_PYTHON": self.python,
            "MODELYARD_STAGES": "requirements",
            "MODELYARD_REQUIREMENTS_FILE": requirements_file,
        }
        command = ["bash", str(assemble)] if assemble else [self.python, "-m", "modelyard.runtime.assembling"]
        code, last = run_command(command, environ=variables, on_output=on_output)
        if code and any(words in line for words in _NO_WHEEL for line in last):
            raise NeedsContainerError("not all of them have a wheel") from explain_build_failure(name, code, last)
        if code:
            raise explain_build_failure(name, code, last)

    def compile(self, modules: Iterable[str]) -> None:
        """Compile files below the root for where images have them, on all cores; what can't be stays as it is."""
        files = [f"{self.root}/{name}\n" for name in modules]
        count = min(os.cpu_count() or 1, 8)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(self._compile, (files[start::count] for start in range(count)), range(count)))

    def _compile(self, files: Sequence[str], number: int) -> None:
        listed = self.root / f".modules-{number}"
        listed.write_text("".join(files), encoding="utf-8")
        command = [self.python, "-m", "compileall", "-q", "-s", str(self.root), "-p", ENVIRONMENTS, "-i", str(listed)]
        # Layers have one fixed time, which a .pyc must not be compared with.
        command += ["--invalidation-mode", "unchecked-hash"]
        # Before 3.11, the order of a set in a .pyc is that of its hashes.
        environ = {**inherit(self.environ), "PYTHONHASHSEED": "0"}
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def write(self, path: Path, shelf: Shelf) -> Layer:
        """Write the layer of a shelf."""
        place = f"{ENVIRONMENTS}/{shelf.environment}"
        if not shelf.distributions:
            return self._write_environment(path, place)
        contents = {
            f"{place}/{name}": content
            for each in shelf.distributions
            for name, content in each.contents(self.root / shelf.environment).items()
        }
        return write_files_layer(path, contents, executable=f"{place}/bin")

    def _write_environment(self, path: Path, place: str) -> Layer:
        """Write what makes a folder a virtual environment of the image's own Python."""
        python = PurePosixPath(self.interpreter.path)
        settings = (
            f"home = {python.parent}\nimplementation = CPython\nversion_info = {self.interpreter.version}\n"
            "include-system-site-packages = false\n"
        )
        links = {"bin/python": str(python), "bin/python3": "python", f"bin/python{self.interpreter.minor}": "python"}
        return write_files_layer(
            path,
            {f"{place}/pyvenv.cfg": settings.encode()},
            links={f"{place}/{name}": target for name, target in {"lib64": "lib", **links}.items()},
        )


def open_stage(root: Path, context: BuildContext | None, interpreter: Interpreter, environ: Mapping[str, str]) -> Stage:
    """A stage at `root` with a Python of the image's minor version.

    Raises NeedsContainerError where this machine has none, and for requirements that it can't install for the image.
    """
    if interpreter.platform is None:
        raise NeedsContainerError(f"no wheels are known for {interpreter.libc} on {interpreter.machine}")
    for environment in context.environments if context else ():
        if environment.python and not is_version(interpreter.version, environment.python):
            raise NeedsContainerError(f"{environment.requirements_file} is for Python {environment.python}")
        if any("file:" in line for line in environment.requirements):
            raise NeedsContainerError(f"{environment.requirements_file} names a file")
    try:
        python = find_python(
            interpreter.minor,
            default=sys.executable,
            uv=find_uv(environ),
            environ=environ,
            asked=f"the image asks for Python {interpreter.minor}",
        )
    except InputError as error:
        raise NeedsContainerError(error.message) from None
    return Stage(root=root, interpreter=interpreter, python=python, environ=environ)
