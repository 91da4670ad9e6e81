"""How weights travel from the weight builder to the columns: the layouts of a weight row and of a write."""

from amaranth import *
from amaranth.lib import data

from arch.config import EngineConfig

__all__ = ["plane_row", "slot_row", "weight_row", "weight_write"]


def weight_row(config: EngineConfig) -> data.StructLayout:
    """The weights of one column in one pass: one memory row of a weight slot.

    For ``weight_bits`` 2 and 4 a weight is sign and magnitude (top bit set = negative; magnitude 0 has sign 0) and
    ``negatives`` is the number of set signs: the array one's-complements their products and adds the missing ones
    in one go. For ``weight_bits`` 8 a weight is two's complement and ``negatives`` is 0.
    """
    return data.StructLayout({
        "weights": data.ArrayLayout(config.weight_bits, config.lanes),
        "negatives": range(config.lanes + 1),
    })


def plane_row(config: EngineConfig) -> data.StructLayout:
    """A weight row as bit planes (:mod:`hw.planes`): bit p of ``zeros`` of a lane is set where bit p of its magnitude
    is 0. ``flips`` are relative signs; for ``weight_bits`` 8 there are none, and magnitude means two's complement.
    """
    return data.StructLayout({
        "zeros": data.ArrayLayout(config.planes, config.lanes),
        **({} if config.weight_bits == 8 else {"flips": config.lanes}),
    })


def slot_row(config: EngineConfig) -> data.StructLayout:
    """What a weight slot holds."""
    return weight_row(config) if config.lane == "multiplier" else plane_row(config)


def weight_write(config: EngineConfig) -> data.StructLayout:
    """One step's rows on their way into a weight slot: row g belongs to column ``group * build_columns + g``."""
    return data.StructLayout({
        "valid": 1,
        "slot": range(config.weight_slots),
        "group": range(config.columns // config.build_columns),
        "rows": data.ArrayLayout(weight_row(config), config.build_columns),
    })
