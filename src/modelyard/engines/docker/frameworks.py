"""Requirements in two layers: the large frameworks, which change seldom, below everything else.

uv resolves all requirements first. The frameworks among the pins make a layer that is found again by those pins,
whatever the rest asks for; the rest is a small layer on top. Neither depends on what was built before.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO

from modelyard.engines.docker.layer import Layer, pack, write_layer
from modelyard.engines.docker.workshop import Workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import BuildError

FRAMEWORKS = frozenset(
    {"catboost", "jax", "jaxlib", "keras", "lightgbm", "llvmlite", "matplotlib", "numba", "numpy", "onnxruntime"}
    | {"pandas", "plotly", "polars", "pyarrow", "scikit-image", "scikit-learn", "scipy", "statsmodels", "tensorflow"}
    | {"tokenizers", "transformers", "xgboost"}
)
# Its source depends on the variant, which the builder's assemble knows how to choose.
_BY_ASSEMBLE = frozenset({"torch", "torchvision", "torchaudio"})
_PLACE = "/tmp/modelyard"
_MARK = f"{_PLACE}/mark"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(==|@)")
_COMPILE = (
    f"find default -cnewer {_MARK} -name '*.py' ! -path '*/tests/*' | "
    "default/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -i - >/dev/null || true"
)
_EXPORT = f"find default -cnewer {_MARK} -print0 | LC_ALL=C sort -z | tar -cf - --no-recursion --null -T -"


def resolve_pins(
    workshop: Workshop, requirements: str, excluded: Iterable[str], environment: dict[str, str], on_output: OnOutput
) -> list[str] | None:
    """What uv would install, a pin a line; None where it can't say, or where assemble must choose a source itself.

    The pins of a lock are its own lines, with their hashes, which uv verifies.
    """
    locked = [line for line in requirements.splitlines() if "--hash=" in line]
    if locked:
        return None if any(_name(pin) in _BY_ASSEMBLE for pin in locked) else locked
    overrides = "".join(f"{name}; sys_platform == 'never'\n" for name in excluded)
    files = {"modelyard/in.txt": requirements.encode(), "modelyard/overrides.txt": overrides.encode()}
    workshop.upload(pack(files), "/tmp")
    command = ["$UV", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-strip-markers"]
    script = f"{' '.join(command)} --override {_PLACE}/overrides.txt {_PLACE}/in.txt"
    output: list[str] = []
    code, _ = workshop.execute(["sh", "-c", script], user="1001:0", environment=environment, on_output=output.append)
    pins = [line for line in output if line.strip() and not line.startswith("#")]
    if code or not all(map(_PIN.match, pins)) or any(_name(pin) in _BY_ASSEMBLE for pin in pins):
        return None
    on_output(f"---> requirements: {len(pins)} packages fit together")
    return pins


def split_pins(pins: Sequence[str]) -> tuple[list[str], list[str]]:
    """The frameworks among the pins, and the rest.

    >>> split_pins(["numpy==2.4.6", "skops==0.16.0"])
    (['numpy==2.4.6'], ['skops==0.16.0'])
    """
    return [pin for pin in pins if _name(pin) in FRAMEWORKS], [pin for pin in pins if _name(pin) not in FRAMEWORKS]


def install_pins(
    workshop: Workshop, pins: Sequence[str], environment: dict[str, str], root: str, on_output: OnOutput
) -> None:
    """Install pins into `root`/default, which is made where it is not there; raise BuildError with uv's last words."""
    workshop.upload(pack({"modelyard/pins.txt": "".join(f"{pin}\n" for pin in pins).encode()}), "/tmp")
    script = (
        f"set -e; cd {root}; touch {_MARK}; sleep 0.01; "
        '[ -d default ] || "$UV" venv --quiet --no-project --python python3 default; '
        f'"$UV" pip install --python default/bin/python --no-deps --requirement {_PLACE}/pins.txt; {_COMPILE}'
    )
    code, last = workshop.execute(
        ["sh", "-c", script],
        user="1001:0",
        environment={**environment, "UV_COMPILE_BYTECODE": "0"},
        on_output=on_output,
    )
    if code:
        raise BuildError("uv could not install what it resolved:\n" + "\n".join(f"  {line}" for line in last[-15:]))


def export_new(workshop: Workshop, path: Path, root: str) -> Layer:
    """The layer of what `install_pins` added last."""
    with _streamed(workshop, ["sh", "-c", f"cd {root} && {_EXPORT}"]) as archive:
        return write_layer(path, archive, root, is_left_out=_is_left_out)


def _is_left_out(name: PurePosixPath) -> bool:
    """Tests, and what uv touches every time: its lock, and so the folder that the lock is in."""
    return "tests" in name.parts[4:] or name.parts[1:] in ((), (".lock",))


@contextmanager
def _streamed(workshop: Workshop, command: Sequence[str]) -> Iterator[IO[bytes]]:
    """A temporary file with the standard output of a command."""
    with TemporaryFile() as file:
        if code := workshop.stream(command, file):
            raise BuildError(f"{command[-1]} exited with {code}", hint="the image needs find, sort and tar")
        file.seek(0)
        yield file


def _name(pin: str) -> str:
    match = _PIN.match(pin)
    return re.sub(r"[-_.]+", "-", match["name"]).lower() if match else ""
