"""Hypothesis settings: the same examples on every run, unless somebody goes exploring.

``HYPOTHESIS_PROFILE=explore scripts/test tests/protocol`` draws new examples, and many more.
"""

import os

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile(
    "explore", max_examples=2000, derandomize=False, deadline=None, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
