"""The docs name what the code has: every command, option, exit code, variable, route, status and manifest field."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from flask import Flask

from modelyard import errors
from modelyard.cli import COMMANDS, cli
from modelyard.runtime.application import Application, Model
from modelyard.runtime.daemon.settings import PerRoute, load_settings
from modelyard.runtime.errors import ModelyardError
from modelyard.runtime.gateway.app import create_app
from modelyard.runtime.gateway.protocols.table import PROTOCOLS
from modelyard.runtime.routes import RESERVED
from utils.codecs.table import CODECS
from utils.manifest import Manifest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY"))])
# From one process of ours to the next: nobody else sets them.
INTERNAL = {"MODELYARD_INSIDE_BUILD_SCRIPT", "MODELYARD_LISTEN_FD", "MODELYARD_CLAN", "MODELYARD_LIFELINE_FD"}


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str) -> list[str]:
    return [line for line in read(name).splitlines() if line.startswith("|")]


def walk_commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {child}", command.commands[child]) for child in command.commands)


def walk_errors(kind: type[ModelyardError] = ModelyardError) -> Iterator[type[ModelyardError]]:
    for child in kind.__subclasses__():
        if child.__name__ in errors.__all__:
            yield child
        yield from walk_errors(child)


class Recorder(dict[str, str]):
    """An empty environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str, default: object = None) -> None:  # type: ignore[override]
        self.asked.append(key)


def find_variables() -> set[str]:
    """Every MODELYARD_* that the tool, the runtime, the builders' scripts or utils mention."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "utils").rglob("*.py"), *(ROOT / "builders").glob("*/s2i/bin/*")]
    return {name for path in sources for name in re.findall(r"\bMODELYARD_[A-Z_]+\b", path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", [name for name, _ in walk_commands()])
def test_every_command_is_named(name: str) -> None:
    assert re.search(rf"`modelyard {name}\b", read("reference/cli.md"))


@pytest.mark.parametrize(("name", "command"), [pair for pair in walk_commands() if not pair[0].startswith("s2i")])
def test_every_option_is_named(name: str, command: click.Command) -> None:
    page = read("reference/cli.md")
    options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    assert [option for option in options if not re.search(rf"{option}\b", page)] == []


def flags_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")} | {"-h", "--help"}


def flags_behind(name: str, child: str) -> set[str]:
    """The flags of a command; of a group's child, or of all its children where none is named."""
    commands = {key: command for key, command in walk_commands() if key.split()[0] == name}
    chosen = [commands[f"{name} {child}"]] if f"{name} {child}" in commands else commands.values()
    return {flag for command in chosen for flag in flags_of(command)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_flag_behind_a_command_is_one_of_it(page: Path) -> None:
    called = re.findall(r"modelyard ([a-z0-9]+)((?: [a-z]+)?)([^`|\n]*)", page.read_text(encoding="utf-8"))
    wrong = [
        f"{name}{child} {flag}"
        for name, child, rest in called
        if name in COMMANDS
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest)
        if flag not in flags_behind(name, child.strip())
    ]
    assert wrong == []


def test_the_page_of_s2i_names_flags_that_are_there_and_those_of_upstream_that_are_not() -> None:
    has, _, rest = read("reference/s2i.md").partition("What upstream has and this has not")
    has_not, _, more = rest.partition("\n## ")
    known = {flag for name, command in walk_commands() if name.startswith("s2i") for flag in flags_of(command)}
    named = re.findall(r"`(--[a-z][a-z-]+)", has + more)
    first = re.findall(r"^\| (`--.*?) \|", has_not, flags=re.MULTILINE)
    assert len(named) > 30 and len(first) > 3
    assert {flag for flag in named if flag not in known} == set()
    assert {flag for cell in first for flag in re.findall(r"--[a-z][a-z-]+", cell) if flag in known} == set()
    table = {flag for command in s2i_commands() for flag in flags_of(command) if flag.startswith("--")}
    assert {flag for flag in table if flag not in read("reference/s2i.md")} <= {"--help"}


def s2i_commands() -> list[click.Command]:
    return [command for name, command in walk_commands() if name.startswith("s2i ")]


@pytest.mark.parametrize("kind", [*dict.fromkeys(walk_errors())], ids=lambda kind: kind.__name__)
def test_every_exit_code_is_named_with_its_errors(kind: type[ModelyardError]) -> None:
    (row,) = [row for row in rows("reference/cli.md") if row.startswith(f"| {kind.exit_code} |")]
    assert f"`{kind.__name__}`" in row


def show_default(default: object) -> str:
    """What a person would set a variable to, to leave it as it is."""
    value = default.default if isinstance(default, PerRoute) else default
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def test_every_setting_of_the_daemon_is_named_with_its_default() -> None:
    environ = Recorder()
    settings = load_settings(environ)
    defaults = dict(zip(environ.asked, (getattr(settings, field.name) for field in fields(settings)), strict=True))
    for name, default in defaults.items():
        text = show_default(default)
        described = [row for row in rows("reference/variables.md") if row.startswith(f"| `{name}` |")]
        assert [row for row in described if not text or f"`{text}`" in row], name


@pytest.mark.parametrize("name", sorted(find_variables() - INTERNAL))
def test_every_variable_of_the_tool_is_named(name: str) -> None:
    assert f"`{name}`" in read("reference/variables.md")


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    application = Application(name="iris", kind="predict", models=(Model(name="iris", routes=("iris",)),))
    return create_app(application, root=tmp_path, run_dir=tmp_path)


def test_every_path_of_the_daemon_is_named(app: Flask) -> None:
    others = {"/iris", *(endpoint.path for protocol in PROTOCOLS for endpoint in protocol.endpoints)}
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule not in others]
    requests = {
        f"{'GET' if 'GET' in (rule.methods or ()) else 'POST'} {rule.rule.replace('<path:', '<')}" for rule in rules
    }
    assert {request for request in requests if f"`{request}`" not in read("reference/daemon.md")} == set()


def test_every_reserved_path_is_named() -> None:
    assert {name for name in RESERVED if f"`{name}`" not in read("reference/daemon.md")} == set()


def test_every_error_status_is_explained_and_shown(app: Flask) -> None:
    page = read("reference/daemon.md")
    described = app.test_client().get("/openapi.json").get_json()["paths"]["/iris"]["post"]["responses"]
    statuses = {"404", "405", "429", *described} - {"200", "4XX"}
    assert {status for status in statuses if f"\n| {status} |" not in page} == set()
    assert {status for status in statuses if f'"status": {status}, ' not in page} == set()


def test_every_field_of_a_manifest_is_named() -> None:
    page = read("reference/files.md")
    assert [field.name for field in fields(Manifest) if f"`{field.name}`" not in page] == []


def test_every_codec_is_named() -> None:
    page = read("reference/files.md")
    assert {codec.suffix for codec in CODECS if f"`{codec.suffix}`" not in page} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in find_anchors(target), link


def find_anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_picture_stands_alone_and_is_readable_in_the_dark() -> None:
    text = read("architecture.svg")
    root = ElementTree.fromstring(text)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"image", "use", "script", "foreignObject"}
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "") and "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert {"title", "desc"} <= names
