import json
import subprocess
import sys

# What `modelyard --help` may load: an import of anything else makes every command slow.
ALLOWED = {"click", "modelyard", "modelyard.cli", "modelyard.runtime", "modelyard.runtime.errors"}


LOADED = """
import json, sys
before = set(sys.modules)
from modelyard.cli import main
try:
    main(["--help"])
except SystemExit:
    own = {name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names}
    print(json.dumps(sorted(own)), file=sys.stderr)
"""


def test_help_loads_click_and_nothing_heavier():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = {name if name.startswith("modelyard") else name.partition(".")[0] for name in json.loads(done.stderr)}
    assert loaded == ALLOWED


def test_a_reader_that_goes_away_is_no_traceback():
    code = "from modelyard.cli import main; main(['completion', 'bash'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
