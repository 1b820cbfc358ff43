"""Credentials of registries: read from where docker and podman keep them, written where docker does.

Formats: https://docs.docker.com/reference/cli/docker/login/#credential-stores and containers-auth.json(5).
"""

import base64
import binascii
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.engines.oci.address import DOCKER_HUB
from modelyard.errors import EngineError, InputError

_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_PATIENCE = 30.0


@dataclass(frozen=True)
class Credential:
    """A user with a password, or an identity token; it shows neither."""

    user: str
    secret: str = field(repr=False)
    is_identity_token: bool = False

    @property
    def basic(self) -> str:
        """The value of a Basic authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def find_credential(host: str, name: str, environ: Mapping[str, str]) -> Credential | None:
    """The credential for a repository: that of the longest path it lies below, in the first file that knows one."""
    for path in auth_files(environ):
        config = _read(path)
        for key in _keys(host, name):
            helper = (config.get("credHelpers") or {}).get(key) or config.get("credsStore")
            if helper and (found := _ask_helper(str(helper), key, environ)):
                return found
            if found := _decode((config.get("auths") or {}).get(key), key, path):
                return found
    return None


def list_credentials(environ: Mapping[str, str]) -> dict[str, Credential]:
    """Every registry that the files know, by its name there, with what a helper keeps of it; the first file counts."""
    found: dict[str, Credential] = {}
    for path in auth_files(environ):
        config = _read(path)
        auths, helpers = config.get("auths") or {}, config.get("credHelpers") or {}
        for key in dict.fromkeys([*auths, *helpers]):
            helper = helpers.get(key) or config.get("credsStore")
            credential = (_ask_helper(str(helper), key, environ) if helper else None) or _decode(
                auths.get(key), key, path
            )
            if credential is not None:
                found.setdefault(key, credential)
    return found


def auth_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where credentials may be: REGISTRY_AUTH_FILE alone where it is set, else docker's own file, then podman's."""
    if environ.get("REGISTRY_AUTH_FILE"):
        yield Path(environ["REGISTRY_AUTH_FILE"])
        return
    yield docker_config(environ)
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"], "containers", "auth.json")


def docker_config(environ: Mapping[str, str]) -> Path:
    """Where docker keeps its own: config.json in $DOCKER_CONFIG, else in ~/.docker."""
    folder = environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home(), ".docker")
    return Path(folder, "config.json")


def save_credential(host: str, credential: Credential, environ: Mapping[str, str]) -> str:
    """Keep a credential where docker would, with its helper if it has one; return where that is."""
    path = Path(environ["REGISTRY_AUTH_FILE"]) if environ.get("REGISTRY_AUTH_FILE") else docker_config(environ)
    config = _read(path)
    key = _HUB_KEY if host == DOCKER_HUB else host
    helper = (config.get("credHelpers") or {}).get(key) or config.get("credsStore")
    if helper:
        stored = {"ServerURL": key, "Username": credential.user, "Secret": credential.secret}
        _run_helper(str(helper), "store", json.dumps(stored), environ)
        return f"docker-credential-{helper}"
    auth = base64.b64encode(f"{credential.user}:{credential.secret}".encode()).decode()
    _write(path, {**config, "auths": {**(config.get("auths") or {}), key: {"auth": auth}}})
    return str(path)


def remove_credential(host: str, environ: Mapping[str, str]) -> bool:
    """Forget a registry's credential, as `docker logout` does; False where there was none."""
    path = Path(environ["REGISTRY_AUTH_FILE"]) if environ.get("REGISTRY_AUTH_FILE") else docker_config(environ)
    config = _read(path)
    key = _HUB_KEY if host == DOCKER_HUB else host
    helper = (config.get("credHelpers") or {}).get(key) or config.get("credsStore")
    if helper:
        _run_helper(str(helper), "erase", key, environ)
    auths = dict(config.get("auths") or {})
    if auths.pop(key, None) is None:
        return bool(helper)
    _write(path, {**config, "auths": auths})
    return True


def _keys(host: str, name: str) -> Iterator[str]:
    """What an entry for a repository may be called, the longest path first."""
    parts = name.split("/")
    yield from ("/".join([host, *parts[:count]]) for count in range(len(parts), 0, -1))
    yield host
    yield from (f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/")
    if host == DOCKER_HUB:
        yield _HUB_KEY


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON ({error})", hint="mend it, or move it away and log in again") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: no JSON object", hint="mend it, or move it away and log in again")
    for name in ("auths", "credHelpers"):
        if not isinstance(config.get(name) or {}, dict):
            raise InputError(f"{path}: its {name} are no JSON object", hint="mend it, or move it away and log in again")
    return config


def _write(path: Path, config: Mapping[str, Any]) -> None:
    """Write it whole or not at all, for the user's own eyes from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = path.resolve()  # a link stays one
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 (a descriptor)
        file.write(json.dumps(config, indent="\t") + "\n")
    part.replace(target)


def _decode(entry: Any, key: str, path: Path) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    if entry.get("identitytoken"):
        return Credential(_TOKEN_USER, str(entry["identitytoken"]), is_identity_token=True)
    if not entry.get("auth"):
        return None
    try:
        user, colon, secret = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, TypeError):
        colon = ""
    if not colon:
        raise InputError(f"{path}: the entry of {key} is no user and password in base64", hint="log in again")
    return Credential(user, secret.rstrip("\0"))


def _ask_helper(helper: str, key: str, environ: Mapping[str, str]) -> Credential | None:
    try:
        answer = json.loads(_run_helper(helper, "get", key, environ))
    except EngineError as error:
        if "not found" in error.message and "in native keychain" in error.message:
            return None  # https://github.com/docker/docker-credential-helpers: its words for "I have none"
        raise
    except ValueError:
        raise EngineError(
            f"docker-credential-{helper} answered no JSON for {key}", hint="try it by hand, or log in again"
        ) from None
    user, secret = str(answer.get("Username") or ""), str(answer.get("Secret") or "")
    return Credential(user, secret, is_identity_token=user == _TOKEN_USER) if secret else None


def _run_helper(helper: str, verb: str, said: str, environ: Mapping[str, str]) -> str:
    program = f"docker-credential-{helper}"
    found = shutil.which(program, path=environ.get("PATH"))
    if found is None:
        raise EngineError(
            f"the docker configuration keeps credentials with {program}, which is not on PATH",
            hint="install it, or take credsStore and credHelpers out of the configuration and log in again",
        )
    try:
        done = subprocess.run(
            [found, verb], input=said, capture_output=True, text=True, timeout=_PATIENCE, env=environ, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"{program} {verb} gave no answer in {_PATIENCE:g} s", hint="try it by hand") from None
    if done.returncode:
        # What a helper prints for `store` may repeat what it was given: only the others' words are shown.
        words = "" if verb == "store" else f": {(done.stdout.strip() or done.stderr.strip())[:200]}"
        raise EngineError(f"{program} {verb} failed{words}", hint="try it by hand, or log in again")
    return done.stdout
