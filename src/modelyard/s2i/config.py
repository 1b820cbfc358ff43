"""What one `s2i build` was asked to do, and `.s2ifile`, which remembers it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from modelyard.errors import InputError

CONFIG_FILE = ".s2ifile"
PullPolicy = Literal["always", "if-not-present", "never"]


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """The arguments and flags of `s2i build`, under upstream's names."""

    source: str
    builder_image: str
    tag: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    scripts_url: str = ""
    image_scripts_dir: str = "/usr/libexec/s2i"
    destination: str = ""
    ref: str = ""
    context_dir: str = ""
    exclude: str = r"(^|/)\.git(/|$)"
    copy: bool = False
    ignore_submodules: bool = False
    keep_symlinks: bool = False
    incremental: bool = False
    remove_previous: bool = False
    assemble_user: str = ""
    assemble_runtime_user: str = ""
    allowed_uids: str = ""
    runtime_image: str = ""
    runtime_artifacts: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    injections: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    network: str = ""
    add_hosts: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    application_name: str = ""
    description: str = ""
    pull_policy: PullPolicy = "if-not-present"
    callback_url: str = ""
    block_onbuild: bool = False


def save_config(config: BuildConfig, folder: Path) -> None:
    """Write `.s2ifile`, for `--use-config` and for the next build without arguments."""
    (folder / CONFIG_FILE).write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")


def load_config(folder: Path) -> BuildConfig:
    """Read `.s2ifile`; raise InputError where there is none, or it is no such file."""
    path = folder / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {item.name for item in fields(BuildConfig)}
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return BuildConfig(**{key: value for key, value in values.items() if key in known})
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file, so there are no arguments to use again", hint="name source and builder image once"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {error}", hint="remove the file and name source and builder image again") from None
