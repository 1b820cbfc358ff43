"""Which models share an environment, with a resolver that knows a few facts."""

from collections.abc import Iterable

import pytest

from modelyard.errors import InputError
from modelyard.requirements.grouping import Needs, group_needs
from modelyard.requirements.joining import find_join
from modelyard.requirements.parse import parse_requirements
from modelyard.requirements.resolve import Verdict

# Lines that do not go together, though the lines do not say so.
FACTS = [{"forest", "numpy>=2"}, {"forest", "boost"}, {"forest", "boost>=1"}]


class FakeResolver:
    """Knows facts, and counts what it was asked."""

    def __init__(self, facts: Iterable[set[str]] = FACTS) -> None:
        self.facts = [frozenset(fact) for fact in facts]
        self.asked: list[tuple[tuple[str, ...], str | None]] = []

    def __call__(self, lines, *, python=None):
        self.asked.append((tuple(lines), python))
        fighting = next((fact for fact in self.facts if fact <= set(lines)), None)
        if fighting is None:
            return Verdict(status="fits")
        return Verdict(status="conflict", fighting=tuple(sorted(fighting)), explanation="Because it is so.")


def needs(name: str, *lines: str, python: str | None = None) -> Needs:
    parsed = parse_requirements("\n".join(lines), source=f"{name}/r.txt", origin=name)
    return Needs(name=name, lines=parsed, python=python, python_file=f"{name}/.python-version")


def names(models: Iterable[Needs], resolve=None) -> list[list[str]]:
    shared, _ = group_needs(list(models), resolve)
    return [[model.name for model in each.models] for each in shared]


def test_models_that_fit_are_one_group_and_one_question():
    resolve = FakeResolver()
    assert names([needs("a", "numpy>=2"), needs("b", "six")], resolve) == [["a", "b"]]
    assert resolve.asked == [(("numpy>=2", "six"), None)]


def test_what_the_lines_prove_is_not_asked():
    resolve = FakeResolver()
    models = [needs("a", "x==1"), needs("b", "x==2"), needs("c", "x==2", "six")]
    assert names(models, resolve) == [["b", "c"], ["a"]]
    assert sorted(resolve.asked) == [(("six", "x==2"), None), (("x==1",), None)]


def test_what_the_resolver_says_is_learned():
    resolve = FakeResolver()
    models = [needs("a", "forest"), needs("b", "numpy>=2"), needs("c", "numpy>=2", "six"), needs("d", "boost")]
    assert names(models, resolve) == [["b", "c", "d"], ["a"]]
    assert len(resolve.asked) < 8


def test_models_with_equal_lines_are_never_apart():
    resolve = FakeResolver()
    models = [needs(f"m{n}", "# mine", "numpy >= 2") for n in range(50)] + [needs("old", "forest")]
    assert [len(group) for group in names(models, resolve)] == [50, 1]


def test_the_outcome_does_not_depend_on_chance():
    models = [needs(f"m{n}", f"x=={n % 5}", f"y>={n % 3}", f"y<{n % 3 + 2}") for n in range(30)]
    assert len({str(names(models, FakeResolver())) for _ in range(5)}) == 1


def test_another_python_is_another_group_and_another_question():
    resolve = FakeResolver()
    models = [needs("a", "six"), needs("b", "six", python="3.12"), needs("c", "six")]
    assert names(models, resolve) == [["a", "c"], ["b"]]
    assert resolve.asked == [(("six",), None), (("six",), "3.12")]


def test_a_model_whose_own_lines_fight_is_an_error_that_names_them():
    with pytest.raises(
        InputError, match=r"(?s)a/r.txt:1: forest cannot go with a/r.txt:2: numpy>=2\n  Because"
    ) as error:
        names([needs("a", "forest", "numpy>=2"), needs("b", "six")], FakeResolver())
    assert error.value.hint == "agree on versions"


def test_a_line_that_nothing_provides_is_an_error_of_its_model():
    with pytest.raises(InputError, match=r"b/r.txt:1: nothing-such cannot be installed"):
        names([needs("a", "six"), needs("b", "nothing-such")], FakeResolver([{"nothing-such"}]))


def test_an_index_option_of_one_model_that_hides_the_package_of_another_keeps_them_apart():
    def resolve(lines, *, python=None):
        hidden = "--no-index" in lines and "six" in lines
        return Verdict(status="conflict", fighting=("six",)) if hidden else Verdict(status="fits")

    assert names([needs("a", "--no-index", "local"), needs("b", "six")], resolve) == [["a"], ["b"]]


def test_a_resolver_that_cannot_tell_is_asked_no_further():
    asked = []

    def resolve(lines, *, python=None):
        asked.append(lines)
        return Verdict(status="unknown", explanation="no answer\nmore")

    models = [needs("a", "x==1"), needs("b", "x==2"), needs("c", "x==3")]
    shared, found = group_needs(models, resolve)
    assert (len(shared), len(asked), found.unknown) == (3, 1, "no answer")


def test_a_resolver_without_end_is_not_asked_without_end():
    """One that finds fault with whatever is put together, and blames all of it."""

    def resolve(lines, *, python=None):
        status = "conflict" if len(lines) > 1 else "fits"
        return Verdict(status=status, fighting=tuple(lines) if status == "conflict" else ())

    shared, _ = group_needs([needs(f"m{n}", f"p{n}") for n in range(5)], resolve)
    assert len(shared) == 5


def join(one: list[str], other: list[str], resolve, *, pythons: tuple[str | None, str | None] = (None, None)):
    models = [
        needs(name, *lines, python=python) for name, lines, python in zip("ab", (one, other), pythons, strict=True)
    ]
    shared, found = group_needs(models, resolve)
    return find_join(*shared, [text for clash in found.clashes for text in clash], resolve)


def test_the_first_edit_that_was_tried_and_fits_is_told():
    assert join(["x>=2"], ["x==1"], FakeResolver()) == ("b/r.txt:1: write x>=2 in place of x==1",)


def test_an_edit_that_the_resolver_refuses_is_not_told():
    # y does not go with a newer x; the other way round it fits
    resolve = FakeResolver([{"x>=2", "y"}])
    assert join(["x>=2"], ["x==1", "y"], resolve) == ("a/r.txt:1: write x==1 in place of x>=2",)


def test_a_pin_is_widened_where_the_other_side_names_no_version():
    resolve = FakeResolver([{"forest==1", "boost"}])
    assert join(["forest==1"], ["boost"], resolve) == ("a/r.txt:1: write forest>=1 in place of forest==1",)


def test_two_edits_where_one_is_not_enough():
    edits = join(["x==2", "y==2"], ["x==1", "y==1"], FakeResolver())
    assert edits == ("b/r.txt:1: write x==2 in place of x==1", "b/r.txt:2: write y==2 in place of y==1")


def test_what_fights_only_after_an_edit_is_edited_too():
    resolve = FakeResolver([{"x==2", "z==1"}, {"x>=1", "z==1"}, {"x", "z==1"}, {"x==1", "w"}])
    edits = join(["x==2", "w"], ["x==1", "z==1"], resolve)
    assert edits == ("b/r.txt:1: write x==2 in place of x==1", "b/r.txt:2: write z>=1 in place of z==1")


def test_a_search_for_an_edit_asks_nothing_that_it_knows():
    # whatever x becomes, y and z fight: two more questions than edits of x would be wasted
    resolve = FakeResolver([{"y", "z"}])
    shared, _ = group_needs([needs("a", "x==2", "z"), needs("b", "x==1", "y")], FakeResolver([]))
    assert find_join(*shared, ["x==1", "x==2"], resolve) is None
    assert len(resolve.asked) == 1


def test_that_no_edit_was_found_is_told_after_a_bounded_search():
    class Stubborn(FakeResolver):
        def __call__(self, lines, *, python=None):
            super().__call__(lines)
            apart = not {"a-only", "b-only"} <= set(lines)
            return Verdict(status="fits") if apart else Verdict(status="conflict", fighting=("x==1", "x==2"))

    resolve = Stubborn()
    assert join(["x==1", "a-only"], ["x==2", "b-only"], resolve) is None
    assert len(resolve.asked) < 15


def test_the_edit_that_touches_fewer_places_comes_first():
    models = [needs(f"a{n}", "x==2", f"y{n}") for n in range(3)] + [needs("b", "x==1")]
    shared, _ = group_needs(models, FakeResolver())
    for pair in (shared, shared[::-1]):
        assert find_join(*pair, ["x==1", "x==2"], FakeResolver()) == ("b/r.txt:1: write x==2 in place of x==1",)


def test_extras_and_markers_stay_in_an_edited_line():
    edits = join(["x==2; sys_platform == 'linux'"], ["x[a]==1; sys_platform == 'linux'"], FakeResolver())
    assert edits == ('b/r.txt:1: write x[a]==2; sys_platform == "linux" in place of x[a]==1; sys_platform == "linux"',)


def test_credentials_are_not_repeated_in_an_edit():
    edits = join(["-i https://two/simple"], ["-i https://me:secret@one/simple"], FakeResolver())
    assert edits == ("b/r.txt:1: remove --index-url https://***@one/simple",)


def test_two_pythons_are_joined_by_asking_for_one():
    assert join(["six"], ["idna"], FakeResolver(), pythons=(None, "3.12")) == ("b/.python-version: remove",)
    assert join(["six"], ["idna"], FakeResolver(), pythons=("3.12", "3.13")) == ("b/.python-version: write 3.12",)
    assert join(["x==1"], ["x==2"], FakeResolver(), pythons=(None, "3.12")) is None
