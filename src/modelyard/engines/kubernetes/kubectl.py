"""The user's kubectl: one run of it, and its errors in our words."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shutil import which
from typing import Any

from modelyard.engines.kubernetes.refusals import explain
from modelyard.errors import EngineError

Object = dict[str, Any]
MANAGER = "modelyard"
_PATIENCE = 120.0


@dataclass(frozen=True, kw_only=True)
class Kubectl:
    """One cluster and one namespace of it."""

    program: str
    context: str | None = None
    namespace: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def run(self, *arguments: str, objects: Sequence[Object] | None = None, timeout: float = _PATIENCE) -> str:
        """Run it, with objects on its standard input; raise EngineError that says what the cluster refused and why."""
        done = self.call(*arguments, objects=objects, timeout=timeout)
        if done.returncode:
            raise explain(done.stderr.strip() or done.stdout.strip(), arguments, namespace=self.namespace)
        return done.stdout

    def call(
        self, *arguments: str, objects: Sequence[Object] | None = None, timeout: float = _PATIENCE
    ) -> "subprocess.CompletedProcess[str]":
        """Run it, whatever it ends with."""
        options = [
            *([f"--context={self.context}"] if self.context else []),
            *([f"--namespace={self.namespace}"] if self.namespace else []),
        ]
        said = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}) if objects is not None else None
        try:
            return subprocess.run(
                [self.program, *options, *arguments],
                input=said,
                capture_output=True,
                text=True,
                env=self.environ,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"kubectl {arguments[0]} gave no answer in {timeout:g} s", hint="is the cluster in reach?"
            ) from None

    def get(self, objects: Sequence[Object]) -> list[Object]:
        """Those of some objects that are there."""
        answer = self.run("get", "-f", "-", "-o", "json", "--ignore-not-found", objects=objects) if objects else ""
        return _items(answer)

    def apply(self, objects: Sequence[Object], *, force: bool = False, dry_run: bool = False) -> list[Object]:
        """Apply objects server-side as our own field manager; return them as they are then."""
        options = [f"--field-manager={MANAGER}", "--validate=false", f"--force-conflicts={str(force).lower()}"]
        rehearsal = ["--dry-run=server"] if dry_run else []
        return _items(
            self.run("apply", "--server-side", *options, *rehearsal, "-f", "-", "-o", "json", objects=objects)
        )

    def delete(self, objects: Sequence[Object]) -> None:
        """Delete objects; those that are gone already are no error."""
        if objects:
            self.run("delete", "-f", "-", "--ignore-not-found", "--wait=false", objects=objects)

    def server_version(self) -> str:
        """The cluster's version, `1.31`."""
        try:
            told = json.loads(self.run("version", "-o", "json"))["serverVersion"]
            return f"{told['major']}.{''.join(filter(str.isdigit, told['minor']))}"
        except (ValueError, KeyError, TypeError):
            raise EngineError("kubectl does not say which version the cluster has", hint="kubectl version") from None

    def current_namespace(self) -> str:
        """The namespace that is worked in."""
        if self.namespace:
            return self.namespace
        shown = self.run("config", "view", "--minify", "-o", "jsonpath={..namespace}").strip()
        return shown or "default"


def open_kubectl(environ: Mapping[str, str], *, context: str | None, namespace: str | None) -> Kubectl:
    """Find kubectl; raise EngineError where there is none, or no such context."""
    program = which("kubectl", path=environ.get("PATH"))
    if program is None:
        raise EngineError(
            "kubectl is not on PATH",
            hint="install it: https://kubernetes.io/docs/tasks/tools/, with a context of yours",
        )
    return Kubectl(program=program, context=context, namespace=namespace, environ=environ)


def _items(answer: str) -> list[Object]:
    """The objects of an answer: a list, one alone, or several one after the other."""
    found: list[Object] = []
    decoder, place, text = json.JSONDecoder(), 0, answer.strip()
    while place < len(text):
        one, end = decoder.raw_decode(text, place)
        found.extend(one["items"] if str(one.get("kind", "")).endswith("List") and "items" in one else [one])
        place = end + len(text[end:]) - len(text[end:].lstrip())
    return found
