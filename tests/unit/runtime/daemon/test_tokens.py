import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.runtime.daemon.tokens import load_tokens
from modelyard.runtime.errors import InputError
from modelyard.runtime.gateway.guard import Guard
from modelyard.runtime.gateway.problems import Problem

ROUTES = ("rf", "deep/er", "open")
NOWHERE = Path("/no/run/directory")


def refusal(guard: Guard, route: str, authorization: str | None) -> Problem:
    """The refusal that a request must meet."""
    with pytest.raises(Problem) as raised:
        guard.check(route, authorization)
    return raised.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tokens of two routes and the admin, as Kubernetes mounts them: with hidden files beside them."""
    files = {"rf.token": "old\nnew\n", "deep/er": "deep-token", "admin": "root\n", "..data/rf": "hidden", ".x": ""}
    for name, text in files.items():
        path = tmp_path / "tokens" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tokens"


def test_a_route_with_a_token_answers_who_has_it(folder: Path) -> None:
    guard = Guard(folder, ROUTES, NOWHERE)
    guard.check("rf", "Bearer old")
    guard.check("rf", "bearer  new")
    guard.check("deep/er", "Bearer deep-token")
    guard.check("open", None)
    assert not guard.is_open("rf")
    assert guard.is_open("open")


@pytest.mark.parametrize("name", ["tokens", "tokens/rf"])
def test_a_mark_and_ends_of_lines_that_an_editor_writes_are_no_part_of_a_token(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\xef\xbb\xbf" + (b"rf=old\r\n" if path.parent == tmp_path else b"old\r\n"))
    assert load_tokens(tmp_path / "tokens", ROUTES).accept("old", "rf")


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic b2xkOm5ldw==", "old"])
def test_no_token_is_401_and_says_what_to_send(folder: Path, authorization: str | None) -> None:
    problem = refusal(Guard(folder, ROUTES, NOWHERE), "rf", authorization)
    assert problem.status == 401
    assert problem.headers["WWW-Authenticate"] == 'Bearer realm="modelyard"'


@pytest.mark.parametrize("token", ["ol", "old ol", "hidden", "ö", "new\n"])
def test_an_unknown_token_is_401(folder: Path, token: str) -> None:
    if token == "new\n":
        Guard(folder, ROUTES, NOWHERE).check("rf", f"Bearer {token}")
        return
    problem = refusal(Guard(folder, ROUTES, NOWHERE), "rf", f"Bearer {token}")
    assert problem.status == 401
    assert problem.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    assert token not in problem.detail


def test_a_token_of_something_else_is_403(folder: Path) -> None:
    for token in ("deep-token", "root"):
        problem = refusal(Guard(folder, ROUTES, NOWHERE), "rf", f"Bearer {token}")
        assert problem.status == 403
        assert problem.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')


def test_a_file_names_routes_every_route_and_the_admin(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# tokens\nrf = one=1\n\nroutes=all\nadmin=root")
    guard = Guard(file, ROUTES, NOWHERE)
    guard.check("rf", "Bearer one=1")
    guard.check("rf", "Bearer all")
    guard.check("open", "Bearer all")
    assert refusal(guard, "open", "Bearer one=1").status == 403
    guard.check_admin("Bearer root")


def test_the_admin_endpoints_are_closed_without_a_token_for_them(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no token for `admin`"):
        Guard(None, ROUTES, NOWHERE).check_admin(None)
    guard = Guard(folder, ROUTES, NOWHERE)
    guard.check_admin("Bearer root")
    for authorization, status in ((None, 401), ("Bearer old", 403), ("Bearer x", 401)):
        with pytest.raises(Problem) as raised:
            guard.check_admin(authorization)
        assert raised.value.status == status


def test_without_a_place_everything_is_open() -> None:
    Guard(None, ROUTES, NOWHERE).check("rf", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rf=a\nfr=b", "tokens:2: a token for 'fr', which is no route here"),
        ("rf", "tokens:1: no '='"),
        ("rf=", "tokens:1: no token"),
        ("rf=se cret", "tokens:1: no token"),
        ("rf=secrét", "tokens:1: no token"),
    ],
)
def test_a_mistake_names_file_and_line_and_no_token(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(InputError) as raised:
        load_tokens(tmp_path / "tokens", ROUTES)
    assert message in raised.value.message
    assert "cret" not in f"{raised.value.message}{raised.value.hint}"


def test_an_empty_file_of_a_folder_closes_nothing_silently(tmp_path: Path) -> None:
    (tmp_path / "rf").touch()
    with pytest.raises(InputError, match="holds no token"):
        load_tokens(tmp_path, ROUTES)


@pytest.mark.parametrize("name", ["tokens", "."])
def test_a_place_without_any_token_opens_no_route(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    if name == "tokens":
        place.write_text("# none\n")
    with pytest.raises(InputError, match=r"MODELYARD_TOKENS .+: holds no token"):
        load_tokens(place, ROUTES)


def test_a_place_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"MODELYARD_TOKENS .+nowhere: No such file"):
        load_tokens(tmp_path / "nowhere", ROUTES)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the guard's clock."""
    now = [100.0]
    monkeypatch.setattr("modelyard.runtime.gateway.guard.time.monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_a_change_counts_without_a_restart(folder: Path, clock: Callable[[float], None]) -> None:
    guard = Guard(folder, ROUTES, NOWHERE)
    (folder / "rf.token").write_text("newest-of-all")
    clock(2.0)
    guard.check("rf", "Bearer newest-of-all")
    assert refusal(guard, "rf", "Bearer old").status == 401


def test_a_broken_change_leaves_the_tokens_in_force(
    folder: Path, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    guard = Guard(folder, ROUTES, NOWHERE)
    (folder / "rf.token").write_text("two words")
    os.utime(folder / "rf.token", ns=(1, 1))
    clock(2.0)
    guard.check("rf", "Bearer old")
    assert "stay in force" in caplog.text
    assert "two words" not in caplog.text
