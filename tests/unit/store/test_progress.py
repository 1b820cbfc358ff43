"""A transfer's progress as lines: few, whatever the number of chunks."""

from modelyard.store.progress import as_lines


def test_each_tenth_is_said_once_for_every_file():
    said = []
    on_progress = as_lines(said.append)
    for _ in range(2):
        for done in range(1, 1001):
            on_progress(done * 1000, 1_000_000)
    assert len(said) == 20 and said[9] == said[19] == "1.0 of 1.0 MB"


def test_an_empty_file_is_no_error():
    as_lines(print)(0, 0)
