"""Examples that Hypothesis makes are the same in every run, and may take as long as they take.

Imported for what it does, before the tests that use it. For others each time: `OTHER_EXAMPLES=yes pytest ...`.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "tests",
    derandomize="OTHER_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")
