"""Options that say which engine a command is about."""

from __future__ import annotations

import argparse

from arch.config import LANES, PRESETS, EngineConfig


def add_engine_arguments(parser: argparse.ArgumentParser, lane: str = LANES[0], note: str = ""):
    """``--preset``, ``--lane``, ``--step-cycles`` and ``--activation-banks``: a program runs on engines of the same
    four. ``lane`` is the default one, ``note`` what the help says of it."""
    parser.add_argument("--preset", choices=PRESETS, default="edge", help="engine (default: %(default)s)")
    parser.add_argument("--lane", choices=LANES, default=lane,
                        help=f"how its lanes multiply (docs/lane.md; default: %(default)s){note}")
    parser.add_argument("--step-cycles", type=int, choices=(1, 2), default=1, metavar="S",
                        help="cycles in which its decoder makes a symbol: 1, or 2 for a faster clock (docs/decoder.md; "
                             "default: %(default)s)")
    parser.add_argument("--activation-banks", type=int, metavar="B",
                        help="banks of its activation memory, a power of two: fewer are smaller, and two reads meet in "
                             "one more often (default: the preset's)")


def engine_config(options) -> EngineConfig:
    """The engine that parsed ``options`` name."""
    overrides = {"lane": options.lane, "step_cycles": options.step_cycles}
    if options.activation_banks is not None:
        overrides["activation_banks"] = options.activation_banks
    return EngineConfig.preset(options.preset, **overrides)
