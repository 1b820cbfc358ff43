"""The builders: what their images hold is pinned."""

from packaging.requirements import Requirement

from modelyard.context.requirements import requirement_lines
from tests.conftest import REPOSITORY

DAEMON = REPOSITORY / "builders" / "daemon"


def read_requirements(name: str) -> dict[str, Requirement]:
    """The requirements of a file, by the package's name."""
    found = [Requirement(text) for _, text in requirement_lines(DAEMON / name)]
    return {each.name: each for each in found}


def test_what_the_gateway_asks_for_is_pinned_to_versions_that_it_allows():
    pins = {name: str(each.specifier) for name, each in read_requirements("requirements.txt").items()}
    assert all(pin.startswith("==") and "*" not in pin for pin in pins.values())
    for name, asked in read_requirements("requirements.in").items():
        assert asked.specifier.contains(pins[name].removeprefix("=="))
