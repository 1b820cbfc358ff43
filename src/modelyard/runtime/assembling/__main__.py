"""`python -m modelyard.runtime.assembling`."""

import sys

from modelyard.runtime.assembling.assemble import main

sys.exit(main())
