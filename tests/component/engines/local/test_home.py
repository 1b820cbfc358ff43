import subprocess
import sys

from modelyard.engines.local import LocalEngine
from modelyard.machine.home import (
    Home,
)

HOLD = "import os, sys, time; os.write(1, b'x'); time.sleep(float(sys.argv[1]))"


def test_child_that_inherits_a_lock_holds_it_on(tmp_path):
    home = Home(tmp_path)
    waited = []
    with home.lock("one") as descriptor:
        child = subprocess.Popen([sys.executable, "-c", HOLD, "0.2"], pass_fds=[descriptor], stdout=subprocess.PIPE)
        assert child.stdout and child.stdout.read(1) == b"x"
    with home.lock("one", on_wait=lambda: waited.append(True)):
        assert waited == [True]
    child.communicate()


def test_prune_leaves_an_environment_that_a_killed_build_s_child_still_makes(tmp_path):
    home = Home(tmp_path)
    engine = LocalEngine(home, {})
    half = home.environments / "key" / "default"
    half.mkdir(parents=True)
    with home.lock("environment-key") as descriptor:
        child = subprocess.Popen([sys.executable, "-c", HOLD, "60"], pass_fds=[descriptor], stdout=subprocess.PIPE)
        assert child.stdout and child.stdout.read(1) == b"x"
    assert (engine.prune().environments, half.is_dir()) == ((), True)
    child.kill()
    child.communicate()
    assert (engine.prune().environments, half.exists()) == (("key",), False)
