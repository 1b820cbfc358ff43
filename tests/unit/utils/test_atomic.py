import threading

from utils.atomic import locked_folder, write_atomically


def test_a_file_is_replaced_and_no_temporary_file_stays(tmp_path):
    target = tmp_path / "m"
    target.write_bytes(b"old")
    write_atomically(target, b"new", part=tmp_path / ".m.part")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_second_writer_waits_for_the_first(tmp_path):
    order = []
    entered = threading.Event()

    def second():
        entered.set()
        with locked_folder(tmp_path):
            order.append("second")

    with locked_folder(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        thread.join(timeout=0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []
