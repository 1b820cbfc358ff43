"""Runs a setup.sh where this machine's temporary folders and package lists can't be reached: in a mount namespace.

Run as a script, with standard library imports only: enclosure.py <setup.sh>. What such scripts clean up at their end is
what an image does not need (`rm -rf /var/lib/apt/lists/* /tmp/* /var/tmp/*`); here it is other people's. A namespace
needs Linux, and root or user namespaces: where there is none, root is refused, and a user is told what can be reached.
"""

import ctypes
import os
import sys
import tempfile
from pathlib import Path

TEMPORARY = ("/tmp", "/var/tmp")
PACKAGE_LISTS = ("/var/lib/apt/lists", "/var/cache/apt", "/var/cache/dnf", "/var/cache/yum", "/var/cache/apk")
# Of <sched.h> and <sys/mount.h>; os.unshare is there from Python 3.12 on, mounting is not.
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18


def main(script: Path) -> int:
    """Run `script` with bash in this process; what it prints and its exit code are this process's own."""
    content, folder = script.read_bytes(), script.parent
    try:
        enter_namespace(os.geteuid(), os.getegid())
        for path in dict.fromkeys(map(os.path.realpath, (*TEMPORARY, *PACKAGE_LISTS))):
            if Path(path).is_dir():
                mount_empty(path)
        folder = Path(tempfile.mkdtemp(prefix="setup-"))
        (folder / script.name).write_bytes(content)
    except (OSError, AttributeError) as error:
        if os.geteuid() == 0:
            print(f"error: this system allows no mount namespace ({error}): root's setup.sh could remove others' files")
            print("  hint: build with an engine (ENGINE=docker), or install yourself what it names")
            return 1
        print(f"warning: this system allows no mount namespace ({error}): setup.sh can remove your temporary files")
        sys.stdout.flush()
    os.chdir(folder)
    os.execvp("bash", ["bash", script.name])


def enter_namespace(uid: int, gid: int) -> None:
    """Give this process mounts of its own; raise OSError where it may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS if uid == 0 else _CLONE_NEWNS | _CLONE_NEWUSER))
    if uid != 0:  # the same user as outside, who may mount until bash takes over
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))


def mount_empty(folder: str) -> None:
    """Put an empty folder in the place of one, for this process and those that it starts."""
    mode = Path(folder).stat().st_mode & 0o7777
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"mode={mode:o}".encode()))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
