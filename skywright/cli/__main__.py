"""`python -m skywright.cli`: the same as the console script."""

import sys

from skywright.cli.program import main

sys.exit(main())
