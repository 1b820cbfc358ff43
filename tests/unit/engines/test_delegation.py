"""What every engine does alike."""

import pytest

from modelyard.engines.delegation import choose_grace


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [({}, 35.0), ({"STOP_TIMEOUT": ""}, 35.0), ({"STOP_TIMEOUT": "120"}, 125.0), ({"STOP_TIMEOUT": "soon"}, 5.0)],
)
def test_a_container_gets_longer_to_end_than_its_daemon_takes(environment, seconds):
    assert choose_grace(environment) == seconds
