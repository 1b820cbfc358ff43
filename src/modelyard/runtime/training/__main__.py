"""`python -m modelyard.runtime.training`."""

import sys

from modelyard.runtime.training.train import main

sys.exit(main())
