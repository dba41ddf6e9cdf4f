"""What holds for every test: properties are judged by what they find, never by how fast the machine is."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.cobbler.bench import Bench, Unavailable

# The same examples at each run, so that a failure belongs to the change that is tested.
settings.register_profile(
    "project",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
# For the inner loop (make test-unit): the same properties with fewer examples. `make test` tries them all.
settings.register_profile("quick", settings.get_profile("project"), max_examples=10)
# To look for more: other examples each time, and many. What fails can be tried again with the blob it prints.
settings.register_profile(
    "search", settings.get_profile("project"), derandomize=False, max_examples=1000, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

# A shell starts what runs in the background with SIGINT ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_numbers = itertools.count()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """All tests and their modules stay to the end: the collector need not go through them each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """pytest's own, but for what it does to number a folder: it reads the names of all tests before it."""
    failed = request.session.testsfailed
    path = tmp_path_factory.mktemp(f"{next(_numbers)}-{request.node.originalname[:30]}", numbered=False)
    yield path
    if request.session.testsfailed == failed:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def cobbler() -> Iterator[Bench]:
    """A cobbler server of the test file's own, without profiles, and koan; skips where it cannot be had."""
    try:
        bench = Bench().__enter__()
    except Unavailable as exc:
        pytest.skip(f"no bench for cobbler: {exc}")
    yield bench
    bench.stop()
