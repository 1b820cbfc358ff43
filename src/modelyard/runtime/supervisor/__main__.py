"""`python -m modelyard.runtime.supervisor`."""

import os
import sys

from modelyard.runtime.supervisor.supervisor import main

sys.exit(main(os.environ))
