"""Measure how fast the engine simulates, beside the bound: the bare array, built with the same flags, in turns.

example: topcoat bench-sim --preset base --json speed.json
"""

from pathlib import Path

from arch.config import PRESETS, EngineConfig
from sim.bench import NETWORK, bench
from topcoat.output import table, write_json


def configure(parser):
    parser.add_argument("--preset", choices=PRESETS, default="base", help="engine (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the result there")


def run(options) -> int:
    print(f"{NETWORK} with random masks on the whole engine, and random values on its bare array, in turns")
    speed = bench(EngineConfig.preset(options.preset))
    rows = [("engine", f"{speed.engine_macs_per_second:,.0f}", f"{speed.ratio:.3f}"),
            ("bare array", f"{speed.array_macs_per_second:,.0f}", "1.000")]
    print(table((options.preset, "simulated MAC/s", "against the bare array"), rows))
    write_json(options.json, speed.to_json())
    return 0
