"""`python -m modelyard.runtime.fetching s3://bucket/key folder`."""

import os
import sys

from modelyard.runtime.fetching.fetch import main

sys.exit(main(sys.argv[1:], os.environ))
