import base64
import json
from pathlib import Path

import pytest

from modelyard.commands.copying import log_out
from modelyard.engines.oci.credentials import Credential, find_credential, remove_credential, save_credential
from modelyard.errors import EngineError, InputError


def auth(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def keep(path: Path, **config: object) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(path.parent), "PATH": ""}


def test_the_longest_path_wins(tmp_path):
    auths = {"r.example": auth("all", "1"), "r.example/income": auth("income", "2")}
    environ = keep(tmp_path / "config.json", auths=auths)
    assert find_credential("r.example", "income/rf", environ) == Credential("income", "2")
    assert find_credential("r.example", "other/rf", environ) == Credential("all", "1")
    assert find_credential("other.example", "income/rf", environ) is None


def test_docker_hub_has_a_name_of_its_own(tmp_path):
    environ = keep(tmp_path / "config.json", auths={"https://index.docker.io/v1/": auth("me", "x:y")})
    assert find_credential("docker.io", "me/rf", environ) == Credential("me", "x:y")


def test_registry_auth_file_is_the_only_one_where_it_is_set(tmp_path):
    environ = keep(tmp_path / "config.json", auths={"r.example": auth("docker", "1")})
    environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "auth.json")
    assert find_credential("r.example", "rf", environ) is None
    keep(tmp_path / "auth.json", auths={"r.example": auth("podman", "2")})
    assert find_credential("r.example", "rf", environ) == Credential("podman", "2")


def test_a_credential_shows_no_secret():
    assert "secret" not in repr(Credential("me", "secret"))


def test_what_else_is_in_the_file_stays(tmp_path):
    environ = keep(tmp_path / "config.json", proxies={"default": {}}, auths={"a.example": auth("a", "1")})
    save_credential("b.example", Credential("b", "2"), environ)
    assert find_credential("a.example", "x", environ) == Credential("a", "1")
    assert find_credential("b.example", "x", environ) == Credential("b", "2")
    assert remove_credential("a.example", environ)
    assert not remove_credential("a.example", environ)
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "proxies": {"default": {}},
        "auths": {"b.example": auth("b", "2")},
    }
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: no JSON"):
        find_credential("r.example", "rf", {"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize("name", ["auths", "credHelpers"])
def test_a_table_that_is_none_is_named(tmp_path, name):
    environ = keep(tmp_path / "config.json", **{name: ["r.example"]})
    with pytest.raises(InputError, match=f"{name} are no JSON object"):
        find_credential("r.example", "rf", environ)


def test_a_registry_is_forgotten_as_it_was_written(tmp_path):
    environ = keep(tmp_path / "config.json", auths={"r.example:5000": auth("a", "1")})
    assert log_out("https://r.example:5000/", environ)
    assert not log_out("r.example:5000", environ)


def test_a_broken_entry_is_named_and_not_shown(tmp_path):
    environ = keep(tmp_path / "config.json", auths={"r.example": {"auth": "no base64!"}})
    with pytest.raises(InputError, match=r"config\.json: the entry of r\.example") as caught:
        find_credential("r.example", "rf", environ)
    assert "no base64" not in caught.value.message


def test_a_helper_that_is_missing_is_named(tmp_path):
    environ = keep(tmp_path / "config.json", credsStore="pass")
    with pytest.raises(EngineError, match="docker-credential-pass, which is not on PATH"):
        find_credential("r.example", "rf", environ)
