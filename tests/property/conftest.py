"""The same examples are tried every time; SKYWRIGHT_EXPLORE=1 looks for new ones, and longer."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, database=None, max_examples=100)
settings.register_profile("explore", deadline=None, database=None, max_examples=5000)
settings.load_profile("explore" if os.environ.get("SKYWRIGHT_EXPLORE") else "steady")
