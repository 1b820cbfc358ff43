import pickle

from modelyard.runtime.message import Message


def test_a_message_survives_pickling() -> None:
    message = Message({"instances": [[1, "a"]]})
    assert pickle.loads(pickle.dumps(message)) == message
    assert pickle.loads(pickle.dumps(message)) != Message({})
