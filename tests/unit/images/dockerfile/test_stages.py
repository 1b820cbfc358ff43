import pytest

from modelyard.errors import InputError
from modelyard.images.dockerfile.parsing import parse_dockerfile
from modelyard.images.dockerfile.stages import plan_stages

STAGES = """\
ARG V=1
FROM one:$V AS First
FROM two AS unused
RUN make
FROM first
COPY --from=0 a b
COPY --from=other:v1 a b
"""


def plan(text, target=None, **given):
    return plan_stages(parse_dockerfile(text, "D"), given, target=target)


def test_only_stages_that_are_needed_are_made():
    recipe = plan(STAGES)
    assert [(stage.name, stage.base) for stage in recipe.stages] == [("first", "one:1"), ("2", "first")]
    assert plan(STAGES, target="FIRST", V="2").stages[0].base == "one:2"


def test_every_run_that_is_needed_is_named_with_what_can_run_it():
    text = "FROM a AS x\nRUN apt-get install gcc\nENV A=1\nRUN make\nFROM x\nRUN more\n"
    with pytest.raises(InputError, match=r"D:2: RUN apt-get install gcc \(and lines 4, 6\): a RUN needs") as caught:
        plan(text)
    assert "docker build, podman build" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ENV A=1\nFROM x", "D:1: ENV: before any FROM"),
        ("ARG A=1", "D:1: ARG: before any FROM"),
        ("FROM a b c", "D:1: FROM: 'a b c' is not understood"),
        ("FROM", "D:1: FROM: '' is not understood"),
        ("FROM $NONE", r"D:1: FROM: \$NONE comes to nothing"),
        ("FROM a AS 9x", "D:1: FROM: '9x' is no name of a stage"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, said):
    with pytest.raises(InputError, match=said):
        plan(text)


def test_a_target_that_is_none_names_those_there_are():
    with pytest.raises(InputError, match="has no stage 'third'") as caught:
        plan(STAGES, target="third")
    assert caught.value.hint == "its stages: first, unused, 2"
