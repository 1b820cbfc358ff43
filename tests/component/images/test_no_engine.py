"""What images are made of is decided with no engine, and with none loaded."""

import subprocess
import sys

LOAD = """
import importlib, pkgutil, sys
for room in map(importlib.import_module, ("modelyard.images", "modelyard.machine")):
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
        print(module.name)
print(*(name for name in sys.modules if name.startswith(("modelyard.engines", "docker", "requests", "urllib3"))))
"""


def test_every_module_loads_without_an_engine():
    done = subprocess.run([sys.executable, "-c", LOAD], check=True, capture_output=True, text=True)
    *modules, engines = done.stdout.split("\n")[:-1]
    assert {"modelyard.images.application", "modelyard.images.laying_out", "modelyard.machine.uv"} <= {*modules}
    assert engines == ""
