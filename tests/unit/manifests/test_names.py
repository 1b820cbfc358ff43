import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import InputError
from modelyard.manifests.names import as_label, check_label, name_each


@given(st.text(max_size=200))
def test_every_name_becomes_a_label_that_a_service_may_have(name):
    label = as_label(name)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", label)
    assert len(label) <= 52


def test_long_names_that_begin_alike_stay_two():
    assert as_label("a" * 80 + "b") != as_label("a" * 80 + "c")


def test_two_names_that_would_meet_are_an_error_that_names_both():
    with pytest.raises(InputError, match="income_rf and income-RF would both be called 'income-rf'"):
        name_each(["income_rf", "income-RF"])


def test_names_are_what_they_were_asked_for():
    assert name_each(["Income_RF", "b"]) == {"Income_RF": "income-rf", "b": "b"}


@pytest.mark.parametrize("name", ["Income", "a_b", "-a", "a" * 53, "", "1a"])
def test_a_name_that_somebody_wrote_is_taken_as_it_is_or_refused(name):
    with pytest.raises(InputError, match="--name"):
        check_label(name, what="--name")
