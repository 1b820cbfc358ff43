"""How long builds take on an engine of images, and in one container: python benchmarks/build.py [engine].

Builds the predict image of finance_income_prediction/randomForest. "One container" is what s2i does: source and scripts
go into a container of the same builder image, assemble installs everything, all of it is committed as one layer. With
pip in a virtual environment, as the Python builder images of s2i do (the ratios are to this), and with uv as in ours.
Upstream's s2i binary is measured as well where it is on PATH. Cold builds, no change, one changed line and one more
requirement are whole `modelyard build` processes, as users wait for them. Medians of three; of ten for no change and
one line, beside `python -c pass` in the same run. One JSON line at the end.

`python benchmarks/build.py [engine] quick` measures no change and one line alone.

`python benchmarks/build.py [engine] trivial` measures `modelyard s2i build` as a whole process, with a builder image
whose assemble copies one file: median of nine, beside `--version` (what any command takes to start) and pip's settings.
"""

import gzip
import io
import json
import os
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import run_benchmark, run_well

from modelyard.context.build_context import BuildContext
from modelyard.context.staging import stage_model
from modelyard.engines import open_engine
from modelyard.engines.docker import DockerEngine
from modelyard.engines.docker.dockerfile import run_build
from modelyard.engines.docker.one_container import build_in_one, plan_one
from modelyard.images.layer import pack, write_source_layer
from modelyard.workspace import find_workspace

RUNS = 3
QUICK_RUNS = 10
ROOT = Path(__file__).resolve().parents[1]
MODEL = "projects/finance_income_prediction/randomForest"
PIP_ASSEMBLE = """\
#!/bin/bash
set -euo pipefail
cp -R "$S2I_SOURCE/." "$APP_ROOT/"
python3 -m venv "$APP_ROOT/.venv"
"$APP_ROOT/.venv/bin/pip" install --no-cache-dir --quiet -r "$APP_ROOT/requirements.txt"
"""
REQUIREMENTS = "prettytable==3.{}.0"


Note = Callable[[str, Callable[[], object]], None]


class Bench:
    """A copy of the workspace and its staged context, in a namespace and with a download cache of its own."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.name = f"bench-{secrets.token_hex(4)}"
        self.downloads = folder / "downloads"
        own = {"MODELYARD_BUILD_CACHE": self.name, "UV_CACHE_DIR": str(self.downloads)}
        self.environ = {**os.environ, "MODELYARD_NAMESPACE": self.name, **own}
        opened = open_engine(engine, self.environ)
        assert isinstance(opened, DockerEngine), f"{engine} is no engine of images"
        self.engine = opened
        self.folder = folder
        self.root = folder / "workspace"
        ignored = shutil.ignore_patterns(".git", ".venv", "models", "tests", ".*_cache")
        shutil.copytree(ROOT, self.root, ignore=ignored)
        self.predict = self.root / MODEL / "predict.py"
        self.asked = self.root / MODEL / "requirements_predict.txt"
        self.line, self.requirements = self.predict.read_text(), self.asked.read_text()
        self.context = self.stage()
        self.builder = opened.builder(self.context)

    def stage(self) -> BuildContext:
        """The context of the workspace as it is."""
        workspace = find_workspace(self.root)
        context = self.folder / f"context-{secrets.token_hex(4)}"
        return stage_model(workspace, workspace.model_directory(self.root / MODEL), "predict", context)

    def build(self, tag: str = "bench") -> None:
        """Build as users do: a whole process."""
        command = [sys.executable, "-m", "modelyard", "build", MODEL, "--engine", self.engine.name, "--tag", tag]
        run_well(command, environ=self.environ, cwd=self.root)

    def build_in_one(self, *, assemble: str | None = None) -> None:
        """Assemble in one container of the builder and commit: no layer and no download is used again."""
        plan = plan_one(self.context, self.builder, {})
        with self.engine.profile() as profile, TemporaryDirectory() as folder:
            if assemble is not None:
                scripts = Path(shutil.copytree(self.context.scripts, Path(folder, "scripts")))
                (scripts / "assemble").write_text(assemble)
                plan = replace(plan, scripts=scripts)
            image = build_in_one(self.engine.client, plan, profile, lambda line: None)
        self.engine.client.api.remove_image(image, force=True)

    def build_with_upstream(self) -> None:
        """The same source and builder image with upstream's binary."""
        command = ["s2i", "build", "--copy", str(self.context.source), self.builder, f"{self.name}/upstream"]
        run_well(command)

    def change_line(self) -> None:
        """Write another comment into predict.py."""
        self.predict.write_text(f"{self.line}# {secrets.token_hex(4)}\n")

    def change_requirement(self, minor: int) -> None:
        """Ask for another small requirement."""
        self.asked.write_text(self.requirements + REQUIREMENTS.format(minor) + "\n")

    def reset(self) -> None:
        """Take the changes back."""
        self.predict.write_text(self.line)
        self.asked.write_text(self.requirements)

    def clean(self) -> None:
        """Remove every image, and the download cache."""
        for image in self.engine.images():
            self.engine.remove(image.id)
        self.engine.prune()
        self.forget_downloads()

    def forget_downloads(self) -> None:
        """Remove the download caches: this machine's, and the engine's volume."""
        shutil.rmtree(self.downloads, ignore_errors=True)
        for volume in self.engine.client.api.volumes()["Volumes"] or ():
            if volume["Name"] == self.name:
                self.engine.client.api.remove_volume(self.name)


def measure(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def run(bench: Bench, measure_some: "Callable[[Bench, Note], None]") -> dict[str, float]:
    """Seconds by name: the medians of what is noted."""
    times: dict[str, list[float]] = {}

    def note(name: str, action: Callable[[], object]) -> None:
        times.setdefault(name, []).append(measure(action))
        print(f"  {name}: {times[name][-1]:.2f} s", file=sys.stderr)

    try:
        measure_some(bench, note)
    finally:
        medians = {name: statistics.median(values) for name, values in times.items()}
        show(medians)
    return medians


def measure_all(bench: Bench) -> dict[str, float]:
    """Measure everything; seconds, bytes and ratios by name."""
    medians = run(bench, measure_rounds)
    base = medians["one_container_pip"]
    ratios = {f"{name}_ratio": base / medians[name] for name in ("cold", "one_line", "one_requirement")}
    show(ratios)
    sizes = measure_sizes(bench)
    show(sizes)
    return {**medians, **ratios, **sizes}


def show(figures: dict[str, float]) -> None:
    """Print figures as soon as they are there."""
    for name, value in figures.items():
        print(f"{name:28} {value:10.2f}", flush=True)


def measure_rounds(bench: Bench, note: Note) -> None:
    """Have every kind of build noted, round by round."""
    for number in range(RUNS):
        bench.reset()
        note("one_container_pip", lambda: bench.build_in_one(assemble=PIP_ASSEMBLE))
        note("one_container_uv", bench.build_in_one)
        if shutil.which("s2i"):
            note("upstream_s2i", bench.build_with_upstream)
        bench.clean()
        note("cold", bench.build)
        bench.change_requirement(15 + number)
        note("one_requirement", bench.build)
    measure_quick(bench, note)


def measure_quick(bench: Bench, note: Note) -> None:
    """Have what is done all day noted, turn by turn with a process that does nothing."""
    bench.reset()
    bench.build()
    for _ in range(QUICK_RUNS):
        note("python", lambda: run_well([sys.executable, "-c", "pass"]))
        note("no_change", bench.build)
        bench.change_line()
        note("one_line", bench.build)


def measure_sizes(bench: Bench) -> dict[str, float]:
    """The bytes of a source layer, and the disk that ten models with equal requirements take beside one."""
    bench.reset()
    bench.clean()
    client = bench.engine.client
    empty = client.api.df()["LayersSize"]
    bench.build(tag="model-0")
    one = client.api.df()["LayersSize"] - empty
    for number in range(1, 10):
        bench.change_line()
        bench.build(tag=f"model-{number}")
    ten = client.api.df()["LayersSize"] - empty
    with TemporaryDirectory() as folder:
        layer = write_source_layer(Path(folder, "layer.tar"), "/action", bench.context.source)
        pushed = len(gzip.compress(layer.path.read_bytes()))
    return {"ten_models_disk_ratio": ten / one if one else 0.0, "bytes_of_a_changed_line": pushed}


TRIVIAL_RUNS = 9
TRIVIAL_BUILDER = """\
FROM {base}
LABEL io.openshift.s2i.scripts-url=image:///usr/libexec/s2i
RUN mkdir -p /usr/libexec/s2i /opt/app && cd /usr/libexec/s2i \\
 && printf '#!/bin/sh\\ncp -R /tmp/src/. /opt/app/\\n' > assemble && printf '#!/bin/sh\\nls /opt/app\\n' > run \\
 && chmod 755 assemble run && chown 1001:0 /opt/app
USER 1001
"""


def run_trivial(engine: str, folder: Path) -> dict[str, float]:
    """Seconds of a whole `s2i build` that has next to nothing to do, and of what any such build waits for."""
    opened = open_engine(engine, os.environ)
    assert isinstance(opened, DockerEngine), f"{engine} is no engine of images"
    base = os.environ.get("MODELYARD_BASE_IMAGE", "docker.io/library/python:3.11-slim")
    builder, tag = (f"bench-{secrets.token_hex(4)}:{name}" for name in ("builder", "application"))
    (folder / "source").mkdir()
    (folder / "source" / "main.txt").write_text("hello")
    context = io.BytesIO(pack({"Dockerfile": TRIVIAL_BUILDER.format(base=base).encode()}))
    run_build(opened.client, context, action="build a builder", on_output=lambda line: None, tag=builder)
    tool = [sys.executable, "-m", "modelyard"]
    commands = {
        "s2i_build": [*tool, "s2i", "build", str(folder / "source"), builder, tag, "--engine", engine],
        "start": [*tool, "--version"],
        "pip_settings": ["pip", "config", "list"],
    }
    if shutil.which("s2i"):
        commands["upstream_s2i"] = ["s2i", "build", "--copy", str(folder / "source"), builder, tag]
    times: dict[str, list[float]] = {name: [] for name in commands}
    try:
        for _ in range(TRIVIAL_RUNS):
            for name, command in commands.items():
                times[name].append(measure(lambda command=command: run_well(command)))
    finally:
        for image in (tag, builder):
            opened.client.api.remove_image(image, force=True)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure on the engine that is named, docker by default."""
    if "trivial" in sys.argv[1:]:
        engine = next((name for name in sys.argv[1:] if name != "trivial"), "docker")
        with TemporaryDirectory(prefix="modelyard-bench-") as folder:
            figures = run_trivial(engine, Path(folder))
        show(figures)
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
        return
    engine = next((name for name in sys.argv[1:] if name != "quick"), "docker")
    with TemporaryDirectory(prefix="modelyard-bench-") as folder:
        bench = Bench(engine, Path(folder))
        try:
            figures = run(bench, measure_quick) if "quick" in sys.argv[1:] else measure_all(bench)
        finally:
            bench.clean()
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    run_benchmark(main)
