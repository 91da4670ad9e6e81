"""Simulator housekeeping for the tests of single blocks."""

import gc

import pytest


@pytest.fixture(autouse=True)
def collect_testbenches():
    """Closes background testbenches as soon as their test ends.

    The simulator leaves them suspended; Python 3.11 cannot have them collected while it parses a module.
    """
    gc.disable()
    yield
    gc.collect()
    gc.enable()
