"""One network profile: the user's pip settings, proxies and CA bundle, as variables that uv and pip understand.

uv reads none of pip's settings by itself: https://docs.astral.sh/uv/pip/compatibility/#configuration-files-and-environment-variables
"""

import ast
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "SSL_CERT_DIR", "SSL_CLIENT_CERT")
# The kinds of pip's files, each overriding those before it, and the settings that became which variables.
_KINDS = ("global", "user", "site", "env")
_TRANSLATED = {
    "UV_DEFAULT_INDEX": "index-url",
    "UV_INDEX": "extra-index-url",
    "UV_FIND_LINKS": "find-links",
    "UV_NO_INDEX": "no-index",
    "SSL_CERT_FILE": "cert",
    "PIP_CERT": "cert",
    "HTTP_PROXY": "proxy",
    "HTTPS_PROXY": "proxy",
}
_DECIDING = (
    "UV_BUILD_CONSTRAINT",
    "UV_CONFIG_FILE",
    "UV_CONSTRAINT",
    "UV_EXCLUDE",
    "UV_EXCLUDE_NEWER",
    "UV_NO_BINARY",
    "UV_NO_BINARY_PACKAGE",
    "UV_OVERRIDE",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
    "UV_TORCH_BACKEND",
)
_TRUE = frozenset({"1", "true", "yes", "on"})
_CREDENTIALS = re.compile(r"(?<=://)(?!git@)[^/\s@'\"]+(?=@)")


@dataclass(frozen=True)
class NetworkProfile:
    """What a build needs to reach package indexes; `variables` may hold credentials, so show `masked` ones only."""

    variables: Mapping[str, str]
    origins: Mapping[str, str] = field(default_factory=dict)
    """Which file or variable each comes from, where that was asked for."""

    def origin_of(self, name: str) -> str:
        """Which file or variable a variable comes from: itself, unless something was translated."""
        return self.origins.get(name, name)

    def masked(self) -> dict[str, str]:
        """The variables as a person may see them."""
        return {name: mask_credentials(value) for name, value in sorted(self.variables.items())}


def read_network_profile(environ: Mapping[str, str]) -> NetworkProfile:
    """Read it from the environment and from the settings of the user's pip (which starts a process)."""
    return make_network_profile(environ, read_pip_settings(environ))


def read_aside(environ: Mapping[str, str]) -> Callable[[], NetworkProfile]:
    """Begin to read it, and return what waits for it: pip takes half a second to tell its settings."""
    from concurrent.futures import Future

    told: Future[NetworkProfile] = Future()

    def read() -> None:
        try:
            told.set_result(read_network_profile(environ))
        except BaseException as error:
            told.set_exception(error)

    Thread(target=read, daemon=True).start()
    return told.result


def trace_network_profile(environ: Mapping[str, str]) -> NetworkProfile:
    """Read it with the file or variable that each value comes from, for people (which starts a second process)."""
    profile = read_network_profile(environ)
    places = parse_pip_places(_ask_pip(environ, "debug"))
    origins = {}
    for variable, setting in _TRANSLATED.items():
        if variable not in environ and setting in places:
            origins[variable] = f"{setting} of {places[setting]}" if "/" in places[setting] else places[setting]
    if "SSL_CERT_FILE" not in (*environ, *origins):
        bundle = profile.variables.get("SSL_CERT_FILE")
        origins["SSL_CERT_FILE"] = next((name for name in CERTIFICATES if environ.get(name) == bundle), "SSL_CERT_FILE")
    return replace(profile, origins=origins)


def make_network_profile(environ: Mapping[str, str], pip: Mapping[str, str]) -> NetworkProfile:
    """Translate pip's settings; what the user set for uv itself stays as it is.

    >>> make_network_profile({}, {"extra-index-url": "https://a/simple"}).masked()["UV_INDEX_STRATEGY"]
    'unsafe-best-match'
    """
    kept = {name: value for name, value in environ.items() if name in (*PROXIES, *CERTIFICATES) or _is_installer(name)}
    return NetworkProfile({**_for_pip(pip), **_for_uv(pip, environ), **kept})


def read_pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of the pip that the user would run, from its files and PIP_*; {} where there is no pip."""
    return parse_pip_settings(_ask_pip(environ, "list"))


def _ask_pip(environ: Mapping[str, str], question: str) -> str:
    pip = shutil.which("pip", path=environ.get("PATH")) or shutil.which("pip3", path=environ.get("PATH"))
    command = [pip] if pip else [sys.executable, "-m", "pip"]
    return subprocess.run(
        [*command, "config", question], env=environ, capture_output=True, text=True, check=False
    ).stdout


def parse_pip_settings(text: str) -> dict[str, str]:
    """Parse what `pip config list` prints; PIP_* wins over the section `install`, that over `global`.

    >>> parse_pip_settings("global.timeout='60'\\n:env:.timeout='9'\\n")
    {'timeout': '9'}
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if equals and section in sections:
            sections[section][key] = str(ast.literal_eval(value))
    return {**sections["global"], **sections["install"], **sections[":env:"]}


def parse_pip_places(text: str) -> dict[str, str]:
    r"""Parse what `pip config debug` prints: which file, or PIP_* variable, has the last word on each setting.

    >>> parse_pip_places("env_var:\n  PIP_CERT='/a'\nglobal:\n  /etc/pip.conf, exists: True\n    global.proxy: b\n")
    {'proxy': '/etc/pip.conf', 'cert': 'PIP_CERT'}
    """
    found: dict[tuple[int, str], dict[str, str]] = {}
    kind = place = ""
    for line in text.splitlines():
        if match := re.fullmatch(r"(\w+):", line):
            kind = match[1]
        elif match := re.match(r"  PIP_(\w+)=", line):
            found.setdefault((9, "env"), {})[match[1].lower().replace("_", "-")] = f"PIP_{match[1]}"
        elif match := re.fullmatch(r"  (\S.*), exists: True", line):
            place = match[1]
        elif (match := re.match(r"    (global|install)\.([\w-]+): ", line)) and kind in _KINDS:
            rank = _KINDS.index(kind) + (len(_KINDS) if match[1] == "install" else 0)
            found.setdefault((rank, place), {})[match[2]] = place
    return {setting: where for _, each in sorted(found.items()) for setting, where in each.items()}


def mask_credentials(text: str) -> str:
    """Hide user names, passwords and tokens in the URLs of a text.

    >>> mask_credentials("https://me:secret@index.example/simple")
    'https://***@index.example/simple'
    """
    return _CREDENTIALS.sub("***", text) if "@" in text else text


def find_deciding_settings(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Settings of uv that decide which versions are installed, with the digest of each file that one names.

    They are a part of what an environment was made of: another shell that has not got them must not get it.

    >>> find_deciding_settings({"UV_PRERELEASE": "allow", "UV_DEFAULT_INDEX": "https://a/simple"})
    ('UV_PRERELEASE=allow',)
    """
    found = []
    for name in filter(environ.get, _DECIDING):
        files = [Path(item) for item in environ[name].split() if Path(item).is_file()]
        found += [f"{name}={environ[name]}", *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)]
    return tuple(found)


def _is_installer(name: str) -> bool:
    return name.startswith(("UV_", "PIP_"))


def _for_uv(pip: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    extra = pip.get("extra-index-url", "").split()
    certificates = (pip.get("cert"), *(environ.get(name) for name in CERTIFICATES[:3]))
    proxy = pip.get("proxy", "")
    values = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(extra),
        # pip takes the best version of all its indexes; uv by default only looks at the first that has the package.
        "UV_INDEX_STRATEGY": "unsafe-best-match" if extra else "",
        "UV_FIND_LINKS": ",".join(_as_link(link) for link in pip.get("find-links", "").split()),
        # uv has an option for this and reads no such variable: whoever starts uv passes it on
        "UV_NO_INDEX": "1" if pip.get("no-index", "").lower() in _TRUE else "",
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("timeout") or pip.get("default-timeout") or "",
        "SSL_CERT_FILE": next((path for path in certificates if path), ""),
        "SSL_CLIENT_CERT": pip.get("client-cert", ""),
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
    }
    return {name: value for name, value in values.items() if value}


def _for_pip(pip: Mapping[str, str]) -> dict[str, str]:
    names = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "timeout", "cert", "proxy")
    return {f"PIP_{name.upper().replace('-', '_')}": pip[name] for name in names if pip.get(name)}


def _as_link(link: str) -> str:
    """A folder by its absolute path: uv runs in another folder than the user's pip would."""
    return link if "://" in link else str(Path(link).expanduser().absolute())
