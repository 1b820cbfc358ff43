"""Imported by the process that workers are forked from: what takes long to import is there when one starts.

It leaves the launcher's process group, so that what ends a training reaches the launcher, which then ends the workers.
"""

import os
import signal
from contextlib import suppress
from importlib import import_module

for name in (
    "kubeml.training",
    "kubeml.workers",
    "numpy.random",
    "torch.distributed.elastic.multiprocessing.api",
    "torch._dynamo",  # the first step of any optimizer imports it, which takes seconds
):
    with suppress(ImportError):
        import_module(name)
with suppress(OSError):  # it leads a group already
    os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
