"""Builds that must not be larger than so and so much."""

from dataclasses import replace

import pytest

from modelyard.commands.building import BuildRequest, Limits, build_image
from modelyard.errors import BuildError

SIZE = 1_234_567  # of every image of the fake engine


@pytest.fixture
def request_(workspace, model) -> BuildRequest:
    return BuildRequest(workspace=workspace, subject=model, kind="predict", tag="mine:1")


def limited(request: BuildRequest, size: int) -> BuildRequest:
    return replace(request, limits=Limits(max_size=size))


def test_an_image_that_is_small_enough_has_its_tag_and_no_other(request_, engine, reporter):
    assert not build_image(limited(request_, SIZE), engine, reporter).reused
    assert [image.tags for image in engine.images()] == [("mine:1",)]


def test_one_that_is_too_large_is_not_there_and_its_parts_are_told(request_, engine, reporter):
    with pytest.raises(BuildError, match=r"image of income/rf \(predict\) has 1\.2 MB, more than the 1\.0 MB") as error:
        build_image(limited(request_, 1_000_000), engine, reporter)
    assert "1.2 MB  requirements: numpy" in error.value.message
    assert "1.2 MB  numpy 2.0 in the environment default" in error.value.message
    assert "mine:1 does not name this image" in str(error.value.hint)
    assert engine.images() == ()


def test_one_that_had_the_tag_before_keeps_it_and_that_is_said(request_, engine, reporter):
    build_image(request_, engine, reporter)
    with pytest.raises(BuildError) as error:
        build_image(limited(request_, 1), engine, reporter)
    assert "mine:1 has been this image before" in str(error.value.hint)
    assert [image.tags for image in engine.images()] == [("mine:1",)]
