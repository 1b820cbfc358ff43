"""What kubectl says when a cluster refuses, in words that name the cause and the way out. Pure."""

import re
from collections.abc import Iterator, Sequence

from modelyard.errors import EngineError

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'( in the namespace "(?P<namespace>[^"]+)")?'
)
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>.+?), used: (?P<used>.+?), limited: (?P<most>\S+)"
)
_CONFLICT = re.compile(
    r'conflicts? with "(?P<manager>[^"]+)"(?: with subresource "[^"]+")?(?: using (?P<api>[\w./]+))?'
)
_FIELDS = re.compile(r"^\s*-? ?(?P<field>\.[\w.\[\]=\"/:-]+)", re.MULTILINE)
_KIND = re.compile(r'no matches for kind "(?P<kind>[^"]+)" in version "(?P<api>[^"]+)"')
_NAMESPACE = re.compile(r'namespaces? "(?P<name>[^"]+)" not found')
_CONTEXT = re.compile(
    r'context "?(?P<name>[^"\s]+)"? does not exist|no context exists with the name: "?(?P<other>[^"\s]+)'
)
_UNREACHABLE = re.compile(
    r"The connection to the server \S+ was refused|Unable to connect to the server|connection refused|i/o timeout"
)
_UNAUTHORIZED = re.compile(r"must be logged in to the server|Unauthorized")


def explain(said: str, arguments: Sequence[str], *, namespace: str | None = None) -> EngineError:
    """The error for what kubectl said.

    >>> explain('namespaces "models" not found', ["apply"]).message
    'the namespace models is not there'
    """
    for message, hint in _causes(said, namespace):
        return EngineError(message, hint=hint)
    lines = "\n  ".join(said.splitlines()[-8:]) or "it ended without a word"
    return EngineError(f"kubectl {' '.join(arguments[:2])} failed:\n  {lines}", hint="try it by hand, with -v=6")


def _causes(said: str, namespace: str | None) -> Iterator[tuple[str, str]]:
    if match := _QUOTA.search(said):
        used = f"{match['used']} of {match['most']} used"
        yield (
            f"the quota {match['name']} does not allow it: {match['asked']} asked for, {used}",
            "ask for less (--cpu, --memory, --replicas), or have the quota raised: kubectl describe quota",
        )
    if match := _FORBIDDEN.search(said):
        resource = f"{match['resource']}.{match['group']}" if match["group"] else match["resource"]
        place = f" in the namespace {match['namespace']}" if match["namespace"] else ""
        where = match["namespace"] or namespace or "default"
        yield (
            f"{match['user']} has no right to {match['verb']} {resource}{place}",
            f"who administers the cluster grants it; kubectl auth can-i {match['verb']} {resource} -n {where} asks",
        )
    if match := _CONFLICT.search(said):
        fields = ", ".join(dict.fromkeys(found["field"] for found in _FIELDS.finditer(said))) or _field_behind(said)
        yield (
            f"{match['manager']} manages {fields or 'fields of it'} as well",
            "leave the field to it, by an overlay or a scaler; or take it over: --force-conflicts",
        )
    if "field is immutable" in said:
        yield "what runs can't be changed: a Job, or a selector", "remove it first: modelyard undeploy NAME"
    if match := _KIND.search(said):
        yield (
            f"this cluster has no {match['kind']} ({match['api']})",
            "install what brings that kind, or render another --kind: deployment needs nothing but Kubernetes",
        )
    if match := _NAMESPACE.search(said):
        yield f"the namespace {match['name']} is not there", f"make it: kubectl create namespace {match['name']}"
    if match := _CONTEXT.search(said):
        yield (
            f"there is no context {match['name'] or match['other']}",
            "kubectl config get-contexts shows those there are",
        )
    if _UNREACHABLE.search(said):
        line = next(line for line in said.splitlines()[::-1] if _UNREACHABLE.search(line))
        yield f"the cluster can't be reached: {line}", "kubectl config current-context shows which is meant; --context"
    if _UNAUTHORIZED.search(said):
        yield "the cluster does not know you: the credentials of this context are none of it", "log in to it again"


def _field_behind(said: str) -> str:
    match = re.search(r"using [\w./]+: (\.\S+)", said) or re.search(r'": (\.\S+)', said)
    return match[1] if match else ""
