import base64
import json

import pytest

from modelyard.commands.secrets import registry_secret, store_secret
from modelyard.errors import InputError


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "docker"), "PATH": str(tmp_path)}


def log_in(tmp_path, **config):
    (tmp_path / "docker").mkdir(exist_ok=True)
    (tmp_path / "docker/config.json").write_text(json.dumps(config))


def auth(text):
    return {"auth": base64.b64encode(text.encode()).decode()}


def unpack(secret):
    return json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))


def test_a_registry_secret_has_what_the_docker_configuration_has(tmp_path, environ):
    log_in(tmp_path, auths={"a.example": auth("me:secret"), "b.example": auth("you:other")})
    secret = registry_secret("neuro-registry", [], environ)
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert unpack(secret) == {"auths": {"a.example": auth("me:secret"), "b.example": auth("you:other")}}
    assert list(unpack(registry_secret("x", ["b.example"], environ))["auths"]) == ["b.example"]


def test_what_a_helper_keeps_is_in_it(tmp_path, environ):
    helper = tmp_path / "docker-credential-vault"
    helper.write_text('#!/bin/sh\necho \'{"Username": "me", "Secret": "kept"}\'\n')
    helper.chmod(0o755)
    log_in(tmp_path, auths={"a.example": {}}, credsStore="vault")
    environ["PATH"] += ":/usr/bin:/bin"
    assert unpack(registry_secret("x", [], environ)) == {"auths": {"a.example": auth("me:kept")}}


def test_no_login_is_an_error_that_says_how_to(tmp_path, environ):
    with pytest.raises(InputError, match="there is no login to any registry"):
        registry_secret("x", [], environ)
    log_in(tmp_path, auths={"a.example": auth("me:secret")})
    with pytest.raises(InputError, match=r"there is no login to c\.example"):
        registry_secret("x", ["c.example"], environ)


def test_an_identity_token_is_none_that_nodes_take_and_is_not_shown(tmp_path, environ):
    log_in(tmp_path, auths={"a.example": {"identitytoken": "top-secret"}})
    with pytest.raises(InputError, match="identity token") as caught:
        registry_secret("x", [], environ)
    assert "top-secret" not in str(caught.value)


def test_a_store_secret_has_the_variables_and_the_files_there_are(tmp_path, environ):
    with pytest.raises(InputError, match="no credentials of a store"):
        store_secret("neuro", environ)
    (tmp_path / ".neuro").mkdir()
    (tmp_path / ".neuro/db").write_bytes(b"\x00\x01")
    secret = store_secret("neuro", {**environ, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"})
    assert {key: base64.b64decode(value) for key, value in secret["data"].items()} == {
        "AWS_ACCESS_KEY_ID": b"key",
        "AWS_SECRET_ACCESS_KEY": b"secret",
        "db": b"\x00\x01",
    }
