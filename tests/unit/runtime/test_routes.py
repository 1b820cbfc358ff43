"""ROUTES: the grammar and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.errors import InputError
from modelyard.runtime.routes import RESERVED, Route, format_routes, is_module_path, parse_routes

identifiers = st.from_regex(r"[a-z_][a-z0-9_]{0,8}x", fullmatch=True)
segments = st.from_regex(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,8}", fullmatch=True)
route_names = st.lists(segments, min_size=1, max_size=3).map("/".join).filter(lambda n: n.split("/")[0] not in RESERVED)
routes = st.builds(
    Route,
    name=route_names,
    module=st.lists(identifiers, min_size=1, max_size=3).map(".".join),
    function=identifiers,
)


@given(st.lists(routes, min_size=1, max_size=5, unique_by=lambda route: route.name))
def test_format_and_parse_are_inverse(items):
    assert parse_routes(format_routes(items)) == tuple(items)


def test_spaces_around_items_and_parts_are_allowed():
    assert parse_routes(" a:m:f , b : m : g ") == (
        Route(name="a", module="m", function="f"),
        Route(name="b", module="m", function="g"),
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("rf", "'rf' is not route:module:function", "route:module:function"),
        ("rf:predict", "'rf:predict' is not route:module:function", "route:module:function"),
        ("a:b:c:d", "'a:b:c:d' is not", "route:module:function"),
        ("", "item 1 of ROUTES is empty", "route:module:function"),
        ("a:b:c,", "item 2 of ROUTES is empty", "route:module:function"),
        ("a::c", "'a::c' is not", "route:module:function"),
        ("/rf:predict:run", "'/rf' is no route", "leave the slash out: rf"),
        ("../rf:predict:run", "'../rf' is no route", "none starting with '.'"),
        ("a b:predict:run", "'a b' is no route", "letters, digits"),
        ("livez:predict:run", "/livez is a path that the daemon answers itself", "another route"),
        ("v1/x:predict:run", "/v1/x is a path that the daemon answers itself", "another route"),
        ("rf:/abs/predict.py:run", "'/abs/predict.py' is no module path", "dotted path"),
        ("rf:a..b:run", "'a..b' is no module path", "dotted path"),
        ("rf:a.1b:run", "'a.1b' is no module path", "identifier"),
        ("rf:a.class:run", "'a.class' is no module path", "keyword"),
        ("rf:my-model.predict:run", "'my-model.predict' is no module path", "identifier"),
        ("rf:predict:run()", "'run()' is no function name", "name a function"),
        ("a:b:c,a:d:e", "items 1 and 2 of ROUTES both claim the route 'a'", "route of its own"),
    ],
)
def test_what_is_refused_names_place_item_and_way_out(text, message, hint):
    with pytest.raises(InputError) as caught:
        parse_routes(text, place="env:3")
    assert message in caught.value.message
    assert caught.value.message.startswith("env:3")
    assert hint in caught.value.hint


def test_module_paths_are_dotted_identifiers():
    assert is_module_path("income.rf.predict")
    assert not any(map(is_module_path, ["", ".", "a.", "/a", "a-b", "a.class", "a b"]))
