"""The demo says what stops it before it does what takes minutes."""

import socket

import pytest

from modelyard.commands.building import Limits
from modelyard.commands.demo import run_demo
from modelyard.errors import PortTakenError


def test_a_port_that_is_taken_is_said_before_anything_is_trained(workspace, engine, reporter):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is taken"):
            run_demo(workspace, "income", engine, reporter, host="127.0.0.1", port=port, limits=Limits())
    assert engine.calls == [] and reporter.lines == []
