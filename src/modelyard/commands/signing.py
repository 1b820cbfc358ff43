"""Images signed by the program cosign, by their digest."""

import shutil
import subprocess
from collections.abc import Mapping

from modelyard.engines.oci.address import parse_address
from modelyard.engines.protocols import OnOutput
from modelyard.errors import EngineError

KEYLESS = "keyless"


def check_signing(environ: Mapping[str, str]) -> None:
    """Raise EngineError where there is nothing to sign with."""
    if shutil.which("cosign", path=environ.get("PATH")) is None:
        raise EngineError(
            "cosign, which signs images, is not installed", hint="https://docs.sigstore.dev/cosign/system_config/installation"
        )  # fmt: skip


def sign_image(image: str, key: str, environ: Mapping[str, str], *, insecure: bool, on_output: OnOutput) -> None:
    """Sign an image by its digest with the program cosign; `key` is what its --key takes, or `keyless`."""
    program = shutil.which("cosign", path=environ.get("PATH")) or "cosign"
    is_plain = insecure or parse_address(image).is_loopback
    command = [program, "sign", "--yes", *(["--key", key] if key != KEYLESS else [])]
    command += [*(["--allow-http-registry", "--allow-insecure-registry"] if is_plain else []), image]
    done = subprocess.run(
        command, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    for line in done.stdout.splitlines():
        on_output(line)
    if done.returncode:
        raise EngineError(
            f"cosign could not sign {image} (exit code {done.returncode})",
            hint="the image is pushed, and not signed: what cosign said stands above",
        )
