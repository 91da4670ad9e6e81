"""Runs ZigZag on a problem (standard input; reports/crosscheck/problem.py) and writes what it found to standard output.

Needs zigzag-dse and six, and nothing of this project. Two mappings of each layer: the engine's own order of loops, and
the best that ZigZag finds by itself.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import sys
import tempfile
from pathlib import Path

import yaml
from zigzag.api import get_hardware_performance_zigzag
from zigzag.hardware.architecture.memory_port import DataDirection

LOOPS = 6
"""Loops that ZigZag's search orders: 7 find the same for a layer of the first stage, 8 take more than three minutes."""

LEVELS = {"W": ("weight slots", "weight buffer", "dram"), "I": ("activation memory", "dram"),
          "O": ("partial sums", "activation memory", "dram")}
"""Memories by operand, from the array outwards."""


def _port(name: str, kind: str, narrow: int, wide: int, *allocation: str) -> dict:
    return {"name": name, "type": kind, "bandwidth_min": narrow, "bandwidth_max": wide, "allocation": list(allocation)}


def _memory(size: int, read: float, write: float, operands: str, served: list[str], *ports: dict) -> dict:
    return {"size": size, "r_cost": float(read), "w_cost": float(write), "area": 0., "latency": 1,
            "operands": operands.split(), "served_dimensions": served, "ports": list(ports)}


def accelerator(problem: dict) -> dict:
    """The baseline engine: columns along D1, lanes along D2. Sizes in bits, widths in bits a cycle.

    Neither dimension is declared systolic: activations are broadcast and lanes summed by a tree. Partial sums are the
    two halves of a column's memory; a weight slot is one of the ``weight_slots`` of a lane. A word of the activation
    memory is a byte per lane; it is read for the array and written at once, and again for DRAM.
    """
    word, sums, bus = 8 * problem["lanes"], problem["accumulator_bits"], problem["bus_bits"]
    dram = problem["dram_pj_per_bit"] * bus
    both = ["D1", "D2"]
    return {
        "name": problem["preset"],
        "memories": {
            "slots": _memory(8 * problem["weight_slots"], 0, problem["weight_slot_pj"], "I2", [],
                             _port("r_port_1", "read", 8, 8, "I2, tl"), _port("w_port_1", "write", 8, 8, "I2, fh")),
            "sums": _memory(2 * problem["partial_sums"] * sums, problem["sum_read_pj"], problem["sum_write_pj"], "O",
                            ["D2"], _port("r_port_1", "read", sums, sums, "O, tl"),
                            _port("r_port_2", "read", sums, sums, "O, th"),
                            _port("w_port_1", "write", sums, sums, "O, fl"),
                            _port("w_port_2", "write", sums, sums, "O, fh")) | {"force_double_buffering": True},
            "weights": _memory(8 * problem["weight_bytes"], problem["weight_read_pj"], problem["weight_write_pj"], "I2",
                               both, _port("r_port_1", "read", *2 * [problem["weight_bits_per_cycle"]], "I2, tl"),
                               _port("w_port_1", "write", bus, bus, "I2, fh")),
            "activations": _memory(8 * problem["activation_bytes"], problem["activation_read_pj"],
                                   problem["activation_write_pj"], "I1 O", both,
                                   _port("r_port_1", "read", 8, word, "I1, tl"),
                                   _port("r_port_2", "read", 8, word, "O, tl", "O, th"),
                                   _port("w_port_1", "write", 8, word, "O, fl"),
                                   _port("w_port_2", "write", 8, word, "I1, fh", "O, fh")),
            "dram": _memory(10 ** 10, dram, dram, "I1 I2 O", both,
                            _port("rw_port_1", "read_write", bus, bus,
                                  *(f"{operand}, {way}" for operand in ("I1", "I2") for way in ("fh", "tl")),
                                  *(f"O, {way}" for way in ("fh", "tl", "fl", "th")))),
        },
        "operational_array": {"unit_energy": problem["multiply_accumulate_pj"], "unit_area": 0.,
                              "dimensions": ["D1", "D2"], "sizes": [problem["columns"], problem["lanes"]]},
    }


def workload(layer: dict) -> list[dict]:
    """One layer. Sums leave their memory as 8 bits, or 32 from the last layer."""
    stride, padding = layer["stride"], 2 * [layer["padding"]]
    return [{
        "id": 0, "name": "layer", "operator_type": "Conv",
        "equation": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
        "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
        "loop_dims": ["B", "K", "C", "OY", "OX", "FY", "FX"],
        "loop_sizes": [1, layer["out_channels"], layer["in_channels"], *layer["map"], *2 * [layer["kernel"]]],
        "pr_loop_dims": ["IY", "IX"], "pr_loop_sizes": layer["input"], "padding": [padding, padding],
        "operand_precision": {"W": 8, "I": 8, "O": 32, "O_final": layer["output_bits"]},
        "operand_source": {"I": 0, "W": 0},
    }]


def mapping(problem: dict, layer: dict, order: str) -> list[dict]:
    """Lanes take a run of the input row (channels, then kernel columns). ``order`` "engine": pixels of a tile
    innermost, then the kernel's chunks, pixel tiles, column tiles; "search": whatever costs the fewest cycles."""
    kernel, channels, taps = layer["kernel"], layer["lane_channels"], layer["lane_taps"]
    found = {"name": "default", "spatial_mapping": {
        "D1": [f"K, {problem['columns']}"], "D2": [f"C, {channels}", *([f"FX, {taps}"] if taps > 1 else [])]}}
    if order == "engine":
        rows, columns = layer["tile"]
        loops = [("OX", columns), ("OY", rows), ("FX", -(-kernel // taps)), ("C", -(-layer["in_channels"] // channels)),
                 ("FY", kernel), ("OX", layer["map"][1] // columns), ("OY", layer["map"][0] // rows),
                 ("K", -(-layer["out_channels"] // problem["columns"]))]
        found["temporal_ordering"] = [[name, size] for name, size in loops if size > 1]
    return [found]


def evaluate(problem: dict, layer: dict, order: str, folder: Path) -> dict:
    """ZigZag's figures of one layer: cycles, bytes of DRAM by operand, pJ by memory."""
    files = {"accelerator": accelerator(problem), "workload": workload(layer),
             "mapping": mapping(problem, layer, order)}
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    *_, found = get_hardware_performance_zigzag(
        **{name: str(folder / f"{name}.yaml") for name in files}, opt="latency", lpf_limit=LOOPS,
        dump_folder=str(folder), pickle_filename=str(folder / "found.pickle"), loma_show_progress_bar=False)
    (cost, _), = found[0][1]
    pj, moved = {"array": cost.mac_energy}, {}
    for operand, levels in LEVELS.items():
        operand = next(key for key in cost.mem_energy_breakdown if key.name == operand)
        for level, energy in zip(levels, cost.mem_energy_breakdown[operand], strict=True):
            pj[level] = pj.get(level, 0) + energy
        accesses = cost.memory_word_access[operand][-1]
        moved[operand.name] = round(sum(accesses.get(way) for way in DataDirection) * problem["bus_bits"] / 8)
    return {"cycles_mapped": round(cost.ideal_temporal_cycle), "cycles": round(cost.latency_total0),
            "cycles_loaded": round(cost.latency_total2), "bytes": moved,
            "pj": {name: round(energy, 1) for name, energy in pj.items()}}


def main():
    """Layers of one shape run once."""
    logging.disable(logging.CRITICAL)
    problem, known, rows = json.load(sys.stdin), {}, []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        for layer in problem["layers"]:
            name, key = layer["name"], json.dumps({**layer, "name": None})
            if key not in known:
                print(name, flush=True)
                known[key] = {order: evaluate(problem, layer, order, Path(folder)) for order in ("engine", "search")}
            rows.append({"name": name, **known[key]})
    json.dump({"versions": {"python": sys.version.split()[0], "zigzag-dse": importlib.metadata.version("zigzag-dse")},
               "layers": rows}, sys.stdout)


if __name__ == "__main__":
    main()
