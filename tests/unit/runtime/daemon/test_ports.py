import pytest

from modelyard.runtime.daemon.settings import follow_operator, load_settings
from modelyard.runtime.errors import InputError


@pytest.mark.parametrize(
    ("environ", "port"),
    [
        ({}, 5000),
        ({"PREDICTIVE_UNIT_SERVICE_PORT": "9000"}, 9000),
        ({"PREDICTIVE_UNIT_SERVICE_PORT": "9500", "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9000"}, 9000),
        ({"PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9000", "PORT": "8080"}, 8080),
        ({"PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9000", "PORT": ""}, 9000),
    ],
)
def test_the_port_is_ours_then_seldons(environ, port):
    assert load_settings(follow_operator(environ)).port == port


def test_there_is_a_second_port_only_where_seldon_names_one():
    assert load_settings({}).metrics_port is None
    assert load_settings({"PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "6000"}).metrics_port == 6000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREDICTIVE_UNIT_HTTP_SERVICE_PORT", "http"),
        ("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", "70000"),
        ("PREDICTIVE_UNIT_METRICS_ENDPOINT", "prometheus"),
    ],
)
def test_what_makes_no_sense_names_the_variable(name, value):
    with pytest.raises(InputError, match=f"{name} is '{value}'"):
        load_settings(follow_operator({name: value}))
