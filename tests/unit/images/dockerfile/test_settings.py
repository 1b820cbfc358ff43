"""What instructions make of a configuration."""

import pytest

from modelyard.errors import InputError
from modelyard.images.dockerfile.parsing import parse_dockerfile
from modelyard.images.dockerfile.settings import DEFAULT_PATH, Settings

BASE = {"config": {"Env": ["PATH=/bin", "A=below"], "Cmd": ["python3"], "WorkingDir": "/work", "OnBuild": ["USER 1"]}}


def configure(text, below=BASE, **given):
    settings = Settings(below, {"OUTER": "outside", "BARE": None}, given)
    for instruction in parse_dockerfile(text, "D"):
        settings.apply(instruction)
    return settings.render([], {"os": "linux", "architecture": "amd64"})


def variables(text, **given):
    return dict(line.partition("=")[::2] for line in configure(text, **given)["config"]["Env"])


def test_variables_see_those_that_were_set_before():
    found = variables('ENV X=1\nENV X=2 Y=$X Z="$A and ${NONE:-none}"\nENV OLD a  b')
    assert found == {"PATH": "/bin", "A": "below", "X": "2", "Y": "1", "Z": "below and none", "OLD": "a  b"}


def test_arguments_are_of_the_build_alone():
    found = variables("ARG N=1\nARG OUTER\nARG A=arg\nENV X=$N-$OUTER-$A-$UNSEEN", N="given", UNSEEN="x")
    assert found["X"] == "given-outside-below-", "what ENV set comes before ARG, what no ARG names is not seen"
    assert "N" not in found


def test_an_image_without_a_path_gets_the_usual():
    assert configure("USER 1", {})["config"]["Env"] == [f"PATH={DEFAULT_PATH}"]


def test_commands_have_two_forms():
    assert configure("CMD echo $A")["config"]["Cmd"] == ["/bin/sh", "-c", "echo $A"]
    assert configure('SHELL ["/bin/bash", "-c"]\nCMD x')["config"]["Cmd"] == ["/bin/bash", "-c", "x"]
    found = configure('ENTRYPOINT ["run"]')["config"]
    assert (found["Entrypoint"], "Cmd" in found) == (["run"], False), "the base's command is of another program"
    assert configure('CMD ["x"]\nENTRYPOINT ["run"]')["config"]["Cmd"] == ["x"]


def test_working_directories_add_up():
    assert configure("WORKDIR a/../b\nWORKDIR $A")["config"]["WorkingDir"] == "/work/b/below"
    assert configure("WORKDIR /x//y/")["config"]["WorkingDir"] == "/x/y"


def test_the_others_set_what_they_say():
    found = configure(
        'EXPOSE 80 53/udp 7000-7001\nVOLUME /data /x\nVOLUME ["/with blank"]\nUSER app:${G:-0}\nSTOPSIGNAL SIGQUIT\n'
        'LABEL a="x y" b=2\nMAINTAINER me\nONBUILD COPY . /src\n'
        "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl -f x\n"
    )
    config = found["config"]
    assert list(config["ExposedPorts"]) == ["80/tcp", "53/udp", "7000/tcp", "7001/tcp"]
    assert list(config["Volumes"]) == ["/data", "/x", "/with blank"]
    assert (config["User"], config["StopSignal"], config["Labels"]) == ("app:0", "SIGQUIT", {"a": "x y", "b": "2"})
    assert (found["author"], config["OnBuild"]) == ("me", ["COPY . /src"])
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "curl -f x"],
        "Interval": 90_000_000_000,
        "Timeout": 500_000_000,
        "Retries": 3,
    }
    assert configure("HEALTHCHECK NONE")["config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert all(line["empty_layer"] for line in found["history"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("EXPOSE 0", "'0' is no port"),
        ("EXPOSE 9-8", "'9-8' is no port"),
        ("EXPOSE http", "'http' is no port"),
        ("STOPSIGNAL SIGNOT", "'SIGNOT' is no signal"),
        ("ENV A", "A has no value"),
        ("ENV A=1 B", "'B' is no key=value"),
        ("ENV =1", "a name is empty"),
        ("USER", "says nothing"),
        ("SHELL bash", "is no JSON array"),
        ("HEALTHCHECK curl", "is not understood"),
        ("HEALTHCHECK --interval=1 CMD x", "--interval=1 is no duration"),
        ("HEALTHCHECK --every=1s CMD x", "--every is not known here"),
        ("ONBUILD FROM x", "FROM can't be put off"),
        ("USER ${A#x}", "is not known here"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, said):
    with pytest.raises(InputError, match=f"D:2: {text.split()[0]}: .*{said}"):
        configure(f"# one\n{text}")
