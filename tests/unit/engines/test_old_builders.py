"""Which builder images have had their day."""

from modelyard.engines.docker.old_builders import BuilderImage, find_old


def image(id: str, family: str, *layers: str, created: int, key: str = "k") -> BuilderImage:
    role = family.rpartition("-")[2] or "platform"
    return BuilderImage(id=id, family=family, role=role, key=key, created=created, layers=layers)


def old(builders: list[BuilderImage], *built: list[str]) -> list[str]:
    return [item.id for item in find_old(builders, built)]


OLD = [
    image("platform 1", "daemon-platform", "base", "p1", created=1, key="one"),
    image("toolbox 1", "daemon-toolbox", "base", "p1", "t1", created=2, key="one"),
    image("builder 1", "daemon-builder", "base", "p1", "t1", "b1", created=3, key="one of the runtime"),
]
NEW = [
    image("toolbox 2", "daemon-toolbox", "base", "p2", "t2", created=5, key="two"),
    image("platform 2", "daemon-platform", "base", "p2", created=4, key="two"),
]


def test_the_newest_of_each_stay():
    assert old(NEW) == []
    assert old([*OLD, *NEW]) == ["platform 1", "toolbox 1"]


def test_what_something_stands_on_stays_with_its_toolbox():
    assert old([*OLD, *NEW], ["base", "p1", "requirements", "source"]) == []


def test_what_only_has_the_same_base_does_not_stand_on_it():
    assert old([*OLD, *NEW], ["base", "p2", "requirements"], ["base", "requirements"]) == ["platform 1", "toolbox 1"]


def test_one_that_lost_its_tag_goes_unless_something_stands_on_it():
    lost = image("lost", "", "base", "p0", created=9)
    assert old([*NEW, lost]) == ["lost"]
    assert old([*NEW, lost], ["base", "p0", "source"]) == []


def test_other_families_are_not_compared():
    assert old([*NEW, image("train", "train-platform", "base", "x", created=1)]) == []
