"""Memories by name: what they are on the buses of the presets."""

import pytest

from arch.config import PRESETS, EngineConfig
from sim.memory import CLOCK_HZ, DEVICES, IDEAL, NAMES, MemoryTiming, memory_timing

BASE = EngineConfig.preset("base")


def test_ideal_has_no_latency_and_a_beat_per_cycle():
    timing = memory_timing("ideal", BASE)
    assert timing == IDEAL == MemoryTiming(latency=0, rate=(1, 1), stall=0)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", DEVICES)
def test_rate_is_the_sustained_bandwidth_of_the_bus(name, preset):
    config, device = EngineConfig.preset(preset), DEVICES[name]
    timing = memory_timing(name, config)
    beats, cycles = timing.rate
    bandwidth = beats / cycles * config.bus_bytes * CLOCK_HZ
    assert bandwidth == pytest.approx(min(device.peak * device.efficiency, config.bus_bytes * CLOCK_HZ), rel=.01)
    assert timing.latency == pytest.approx(device.latency * CLOCK_HZ, abs=.5) and timing.latency > 0


def test_base_and_lpddr4():
    """12.8 GB/s, of which 75 % are had, on a bus of 32 bytes at 400 MHz."""
    assert memory_timing("lpddr4", BASE) == MemoryTiming(latency=60, rate=(3, 4))


def test_numbers_replace_those_of_the_name():
    assert memory_timing("lpddr4", BASE, latency=7) == MemoryTiming(latency=7, rate=(3, 4))
    assert memory_timing("ideal", BASE, rate=(1, 3)) == MemoryTiming(rate=(1, 3))
    with pytest.raises(ValueError, match="latency must be in"):
        memory_timing("ddr4", BASE, latency=-1)


def test_unknown_name():
    with pytest.raises(ValueError, match=f"memory must be one of {', '.join(NAMES)}, not 'sram'"):
        memory_timing("sram", BASE)
