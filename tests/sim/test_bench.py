"""The bare-array benchmark: the same work every time."""

import pytest

from arch.config import EngineConfig
from sim.bench import SimulationSpeed, bench_array

CONFIG = EngineConfig.preset("tiny")


def test_digest_depends_on_cycles_only():
    first, second = bench_array(CONFIG, 20_000), bench_array(CONFIG, 20_000)
    assert first.digest == second.digest != bench_array(CONFIG, 20_001).digest
    assert first.macs_per_second == pytest.approx(20_000 * 32 / first.seconds)


def test_cycles_are_checked():
    with pytest.raises(ValueError, match="cycles must be at least 1, not 0"):
        bench_array(CONFIG, 0)


def test_ratio_is_of_multiply_accumulates():
    speed = SimulationSpeed(config=CONFIG, network="resnet18", rounds=3, cycles=10, engine_macs_per_second=3e8,
                            array_macs_per_second=6e8)
    assert speed.to_json()["ratio"] == .5
