"""The bare-array benchmark: the same work every time."""

import pytest

from arch.config import EngineConfig
from sim.bench import bench_array

CONFIG = EngineConfig.preset("tiny")


def test_digest_depends_on_cycles_only():
    first, second = bench_array(CONFIG, 20_000), bench_array(CONFIG, 20_000)
    assert first.digest == second.digest != bench_array(CONFIG, 20_001).digest


def test_cycles_are_checked():
    with pytest.raises(ValueError, match="cycles must be at least 1, not 0"):
        bench_array(CONFIG, 0)
