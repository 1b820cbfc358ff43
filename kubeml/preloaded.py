"""Imported by the process that workers are forked from: what takes long to import is there when one starts.

It leaves the launcher's process group, so that what ends a training reaches the launcher, which then ends the workers.
"""

import os
import signal
from contextlib import suppress

import kubeml.training
import kubeml.workers  # noqa: F401

with suppress(OSError):  # it leads a group already
    os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
