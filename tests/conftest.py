"""What holds for every test: properties are judged by what they find, never by how fast the machine is."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Other examples at each run on a desk; the same ones where a change is judged, so that a failure is its own.
settings.register_profile(
    "project",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("project")
