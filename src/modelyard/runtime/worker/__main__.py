"""`python -m modelyard.runtime.worker <settings as JSON>`."""

import sys

from modelyard.runtime.primitives import load_json
from modelyard.runtime.worker.worker import main

sys.exit(main(load_json(sys.argv[1])))
