"""Secrets for a cluster, of what this user has: a registry's credentials, a store's."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelyard.engines.oci.credentials import list_credentials
from modelyard.errors import InputError
from modelyard.manifests.documents import Manifest
from modelyard.manifests.secrets import make_registry_secret, make_secret

STORE_VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"),
)


def registry_secret(name: str, hosts: Sequence[str], environ: Mapping[str, str]) -> Manifest:
    """A secret of the registries that the docker configuration knows, or of some of them.

    What a helper keeps is asked for, since a cluster has no such helper. Raises InputError for a registry without a
    user and a password.
    """
    known = list_credentials(environ)
    missing = [host for host in hosts if host not in known]
    if missing or not known:
        raise InputError(
            f"there is no login to {missing[0] if missing else 'any registry'} in the docker configuration",
            hint=f"modelyard login {missing[0] if missing else 'HOST'}, or docker login",
        )
    chosen = {host: credential for host, credential in known.items() if not hosts or host in hosts}
    for host, credential in chosen.items():
        if credential.is_identity_token:
            raise InputError(
                f"the login to {host} is an identity token, which nodes do not take",
                hint="log in with a user and a password, or name the other registries: generate-registry-secret HOST",
            )
    auths = {
        host: {"auth": base64.b64encode(f"{one.user}:{one.secret}".encode()).decode()} for host, one in chosen.items()
    }
    return make_registry_secret(name, auths)


def store_secret(name: str, environ: Mapping[str, str]) -> Manifest:
    """A secret of the AWS_ variables that are set, and of the files of Neu.ro's configuration where there is one."""
    data = {key: environ[key].encode() for key in STORE_VARIABLES if environ.get(key)}
    folder = Path(environ.get("NEUROMATION_CONFIG") or Path(environ.get("HOME") or Path.home(), ".neuro"))
    if folder.is_dir():
        data |= {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    if not data:
        raise InputError(
            f"no credentials of a store: neither AWS_ACCESS_KEY_ID is set nor is there {folder}",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL where it isn't Amazon's",
        )
    return make_secret(name, data)
