"""Engine parameters: what cannot be built is refused by name; the hash tells configurations apart."""

import dataclasses

import pytest

from arch.config import PRESETS, EngineConfig


@pytest.mark.parametrize("field, value, expected", [
    ("columns", 3, "columns must be a power of two, not 3"),
    ("lanes", 2, "lanes must be in 4..64, not 2"),
    ("weight_bits", 3, "weight_bits must be 2, 4 or 8, not 3"),
    ("accumulator_bits", 40, "accumulator_bits must be in 16..32, not 40"),
    ("requantiser_lanes", 8, "requantiser_lanes must be at most columns and lanes, not 8"),
    ("bus_bits", 256, "bus_bits must be at most 16 x lanes, not 256"),
    ("refill_words", 8, "refill_words must be at most bus_bits / 16, not 8"),
    ("mask_bytes", 128, "mask_bytes must be at least two bursts, not 128"),
    ("parameter_channels", 8, "parameter_channels must be enough for a column tile and a burst, not 8"),
    ("rounds", 12, "rounds must be 13 or 20, not 12"),
])
def test_bad_parameters_are_named(field, value, expected):
    with pytest.raises(ValueError) as caught:
        EngineConfig.preset("tiny", **{field: value})
    assert str(caught.value) == expected


def test_unknown_preset():
    with pytest.raises(ValueError, match="^preset must be one of tiny, edge, base, hiddenite, not 'huge'$"):
        EngineConfig.preset("huge")


def test_hash_ignores_only_what_changes_no_program():
    config = EngineConfig.preset("tiny")
    assert dataclasses.replace(config, name="other", trace=False, table_lanes=2).hash == config.hash
    assert len({preset.hash for preset in PRESETS.values()}) == len(PRESETS)
    assert len({config.hash, *(EngineConfig.preset("tiny", **changed).hash for changed in (
        {"rounds": 20}, {"step_cycles": 2}, {"lane": "planes"}))}) == 4
