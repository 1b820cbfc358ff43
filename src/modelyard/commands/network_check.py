"""The network profile that builds will use: where each setting comes from, and whether it works from here."""

import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.commands.doctor import Finding
from modelyard.machine.uv import find_uv
from modelyard.network import CERTIFICATES, PROXIES, NetworkProfile, mask_credentials
from modelyard.runtime.assembling.pythons import uv_environ
from modelyard.runtime.scratch import scratch_folder

_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
_PACKAGE = "six"  # any: an index that has not got it has answered
_PATIENCE = 5
_NO_FOLDER = "make it, or take it out of the settings"
_NO_ANSWER = (
    "correct index, credentials, proxy or CA bundle: pip config set global.index-url ..., HTTPS_PROXY, PIP_CERT"
)
_UNREACHED = re.compile(
    r"Failed to fetch|error sending request|Request failed|timed out|[Cc]onnection refused|dns error|"
    r"\b(401|403|407|5\d\d)\b|certificate|Failed to read"
)


def examine_network(profile: NetworkProfile, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at every index, wheelhouse, proxy and CA bundle of a profile; indexes are asked by uv."""
    for name in PROXIES:
        if "no_proxy" not in name.lower() and profile.variables.get(name):
            yield _examine_proxy(profile, name)
    for path in dict.fromkeys(profile.variables.get(name, "") for name in CERTIFICATES[:4]):
        if path:
            names = [name for name in CERTIFICATES[:4] if profile.variables.get(name) == path]
            yield _examine_bundle(path, profile.origin_of(names[0]))
    for link in re.split(r"[,\s]+", profile.variables.get("UV_FIND_LINKS", "")):
        if link:
            yield _examine_links(link, profile.origin_of("UV_FIND_LINKS"))
    yield from _examine_indexes(profile, environ)


def _examine_proxy(profile: NetworkProfile, name: str) -> Finding:
    value = profile.variables[name]
    what = f"proxy: {mask_credentials(value)} ({profile.origin_of(name)})"
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_PATIENCE):
            return Finding(state="ok", what=what)
    except (OSError, ValueError) as error:
        return Finding(state="missing", what=f"{what}: {error}", fix=f"correct or unset {name}, or start the proxy")


def _examine_bundle(path: str, origin: str) -> Finding:
    what = f"CA bundle: {path} ({origin})"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        return Finding(state="missing", what=f"{what}: {reason}", fix="name a readable file of PEM certificates")
    return Finding(state="ok", what=f"{what}: {len(context.get_ca_certs())} certificates")


def _examine_links(link: str, origin: str) -> Finding:
    what = f"wheelhouse: {mask_credentials(link)} ({origin})"
    if "://" in link and not link.startswith("file://"):
        return Finding(state="ok", what=f"{what}: not asked")
    folder = _as_path(link)
    if not folder.exists():
        return Finding(state="missing", what=f"{what}: no such folder", fix=_NO_FOLDER)
    count = len([*folder.glob("*.whl"), *folder.glob("*.tar.gz")]) if folder.is_dir() else 1
    state = f"{count} files to install from"
    return Finding(state="ok" if count else "warning", what=f"{what}: {state}", fix="put wheels there")


def _examine_indexes(profile: NetworkProfile, environ: Mapping[str, str]) -> Iterator[Finding]:
    if profile.variables.get("UV_NO_INDEX"):
        yield Finding(state="ok", what=f"index: none is asked ({profile.origin_of('UV_NO_INDEX')})")
        return
    named = [(url, name) for name in _INDEXES for url in profile.variables.get(name, "").split()]
    if not any(name in profile.variables for name in _INDEXES[:2]):
        yield _ask("", "index: uv's own default (nothing names one)", profile, environ)
    for url, name in named:
        url = url.rpartition("=")[2] if re.match(r"[A-Za-z0-9_-]+=[a-z]+:", url) else url  # uv allows name=url
        what = f"index: {mask_credentials(url)} ({profile.origin_of(name)})"
        if url.startswith("file://") and not _as_path(url).is_dir():
            yield Finding(state="missing", what=f"{what}: no such folder", fix=_NO_FOLDER)
        else:
            yield _ask(url, what, profile, environ)


def _ask(url: str, what: str, profile: NetworkProfile, environ: Mapping[str, str]) -> Finding:
    """Have uv look one package up in one index, by the settings that builds use, with nothing cached."""
    others = {name: value for name, value in profile.variables.items() if name not in (*_INDEXES, "UV_FIND_LINKS")}
    variables = {**environ, **others, "UV_HTTP_TIMEOUT": str(_PATIENCE), "UV_HTTP_RETRIES": "0"}
    variables = {name: value for name, value in variables.items() if name not in (*_INDEXES, "UV_FIND_LINKS")}
    if url:
        variables["UV_DEFAULT_INDEX"] = url
    with scratch_folder() as folder:
        (folder / "one.in").write_text(f"{_PACKAGE}\n", encoding="utf-8")
        command = [find_uv(environ), "pip", "compile", "--quiet", "--no-cache", "--no-deps", "--color=never"]
        failed = _run([*command, "--python", sys.executable, "one.in"], variables, folder)
    if _UNREACHED.search(failed):
        said = [line.strip() for line in mask_credentials(failed).splitlines() if _UNREACHED.search(line)]
        return Finding(state="missing", what=f"{what}: {' '.join(said)}", fix=_NO_ANSWER)
    return Finding(state="ok", what=f"{what}: answers")


def _run(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> str:
    """What a command says where it fails; nothing where it does not."""
    try:
        done = subprocess.run(
            command,
            env=uv_environ(environ),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * _PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"timed out after {4 * _PATIENCE} s"
    return done.stderr if done.returncode else ""


def _as_path(link: str) -> Path:
    return Path(unquote(link.removeprefix("file://")))
