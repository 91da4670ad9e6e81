"""Runs AccelForge on a problem (standard input; reports/crosscheck/problem.py) and writes what it found to stdout.

Needs accelforge (Python 3.12 or later) and nothing of this project. Two mappings of each layer: the engine's own order
of loops, and the best that AccelForge's mapper finds. Maps stay in the activation memory; the image comes from DRAM and
the logits go there. Energies are in pJ and times in cycles where AccelForge writes joules and seconds.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys

import accelforge
from accelforge import Arch, Mapping, Metrics, Spec, Workload, arch, mapping
from accelforge.mapper.FFM import map_workload_to_arch

TENSORS = {"input": "I", "weight": "W", "output": "O"}

MEMORIES = ("dram", "activation memory", "weight buffer", "partial sums", "weight slots")

BOTH_PORTS, ONE_PORT = ("max(action.n_calls / action.throughput for action in actions)",
                        "sum(action.n_calls / action.throughput for action in actions)")
"""Cycles of a memory that reads and writes at once, and of one that does not."""


def _memory(name: str, size: int | str, keep: str, *, read: tuple[int, float], write: tuple[int, float],
            **more) -> arch.Memory:
    """``size`` in bits; ``read`` and ``write``: bits and pJ of one access, of which there is one a cycle."""
    return arch.Memory(
        name=name, size=size, tensors={"keep": keep}, area=0, leak_power=0, **({"total_latency": BOTH_PORTS} | more),
        actions=[{"name": action, "bits_per_action": bits, "energy": float(pj), "throughput": 1}
                 for action, (bits, pj) in (("read", read), ("write", write))])


def _dimension(name: str, size: int, reuse: str) -> arch.Container:
    return arch.Container(name=name, spatial=[{"name": name, "fanout": size, "reuse": reuse}])


def _outside(layer: dict) -> list[str]:
    """What of a layer is in DRAM."""
    return ["weight", *(["input"] if layer["image"] else []), *(["output"] if layer["output_bits"] > 8 else [])]


def architecture(problem: dict, layer: dict) -> Arch:
    """The baseline engine, from DRAM inwards. Activations are broadcast to all columns, lanes summed by a tree.

    AccelForge has data arrive when it is needed and buffers nothing twice, so the partial sums are one of the two
    halves. An access that takes a part of a memory's word counts as that part.
    """
    word, sums, bus = 8 * problem["lanes"], problem["accumulator_bits"], problem["bus_bits"]
    dram = (bus, problem["dram_pj_per_bit"] * bus)
    return Arch(nodes=[
        _memory("dram", "inf", " | ".join(_outside(layer)), read=dram, write=dram, total_latency=ONE_PORT),
        _memory("activation memory", 8 * problem["activation_bytes"], "input | output",
                read=(word, problem["activation_read_pj"]), write=(word, problem["activation_write_pj"])),
        _memory("weight buffer", 8 * problem["weight_bytes"], "weight",
                read=(problem["weight_bits_per_cycle"], problem["weight_read_pj"]),
                write=(bus, problem["weight_write_pj"])),
        _dimension("columns", problem["columns"], "input"),
        _memory("partial sums", problem["partial_sums"] * sums, "output", bits_per_value={"output": sums},
                read=(sums, problem["sum_read_pj"]), write=(sums, problem["sum_write_pj"])),
        _dimension("lanes", problem["lanes"], "output"),
        _memory("weight slots", 8 * problem["weight_slots"], "weight",
                read=(8, 0), write=(8, problem["weight_slot_pj"])),
        arch.Compute(name="array", area=0, leak_power=0, actions=[
            {"name": "compute", "energy": problem["multiply_accumulate_pj"], "throughput": 1}]),
    ])


def workload(layer: dict) -> Workload:
    """One layer. AccelForge knows no padding: the input is as large as the windows of the map need."""
    stride, kernel = layer["stride"], layer["kernel"]
    sizes = (*layer["map"], layer["out_channels"], layer["in_channels"], kernel, kernel)
    return Workload(
        iteration_space_shape={name: f"0 <= {name} < {size}" for name, size in zip("yxkcrs", sizes)},
        bits_per_value={"All": 8}, einsums=[{"name": "layer", "renames": TENSORS, "tensor_accesses": [
            {"name": "I", "projection": {"H": f"{stride} * y + r", "V": f"{stride} * x + s", "C": "c"}},
            {"name": "W", "projection": ["r", "s", "c", "k"]},
            {"name": "O", "projection": ["y", "x", "k"], "output": True, "bits_per_value": layer["output_bits"]}]}])


def engine_mapping(problem: dict, layer: dict) -> Mapping:
    """The engine's order: column tiles, pixel tiles, the kernel's chunks, pixels of a tile. Lanes take a run of the
    input row (channels, then kernel columns). Weights of a column tile are kept if it has several pixel tiles."""
    rows, columns = layer["tile"]

    def keep(memory: str, *tensors: str) -> mapping.Storage:
        return mapping.Storage(component=memory, tensors=list(tensors))

    def loop(variable: str, size: int) -> mapping.Temporal:
        return mapping.Temporal(rank_variable=variable, tile_shape=size)

    def across(dimension: str, variable: str) -> mapping.Spatial:
        return mapping.Spatial(rank_variable=variable, tile_shape=1, name=dimension, component=dimension)

    weights, once = [keep("weight buffer", "W")], layer["tile"] == layer["map"]
    return Mapping(nodes=[
        keep("dram", *(TENSORS[name] for name in _outside(layer))), keep("activation memory", "I", "O"),
        loop("k", problem["columns"]), *([] if once else weights), loop("y", rows), loop("x", columns),
        across("columns", "k"), keep("partial sums", "O"),
        loop("r", 1), loop("c", layer["lane_channels"]), loop("s", layer["lane_taps"]),
        *(weights if once else []),
        across("lanes", "c"), across("lanes", "s"), keep("weight slots", "W"),
        loop("y", 1), loop("x", 1), mapping.Compute(einsum="layer", component="array")])


def best_mapping(spec: Spec) -> Mapping:
    """Of those with the fewest cycles that the mapper finds, the one that takes the least energy."""
    spec.mapper.metrics = Metrics.LATENCY | Metrics.ENERGY
    found = map_workload_to_arch(spec, print_progress=False, eval_in_detail=False)  # in detail it wants Graphviz
    best = min(range(len(found)), key=lambda index: (found[index].latency(), found[index].energy()))
    return found.data.iloc[best]["Total<SEP>mapping"](_for_model=True)


def evaluate(problem: dict, layer: dict, order: str) -> dict:
    """AccelForge's figures of one layer: its loops, outermost first, cycles, bytes of DRAM by tensor, accesses and pJ
    by part."""
    spec = Spec(arch=architecture(problem, layer), workload=workload(layer))
    spec.mapping = engine_mapping(problem, layer) if order == "engine" else best_mapping(spec)
    loops = [node.compact_str() for node in spec.mapping.nodes if isinstance(node, mapping.Loop)]
    spec.model.metrics = Metrics.all_metrics()
    found = spec.evaluate_mapping()
    accesses, moved = {name: {"read": 0., "write": 0.} for name in MEMORIES}, dict.fromkeys(TENSORS.values(), 0.)
    for (part, tensor, action), count in found.actions(per_component=True, per_tensor=True).items():
        if part in accesses:
            accesses[part][action] += count
        if part == "dram":
            moved[tensor] += count * problem["bus_bits"] / 8
    return {"loops": loops, "cycles": round(found.latency()),
            "bytes": {tensor: round(size) for tensor, size in moved.items()},
            "accesses": {part: {action: round(count) for action, count in counts.items()}
                         for part, counts in accesses.items()},
            "pj": {part: round(float(pj), 1) for part, pj in found.energy(per_component=True).items()}}


def main():
    """Layers of one shape run once."""
    accelforge.set_n_parallel_jobs(1)
    problem, known, rows = json.load(sys.stdin), {}, []
    with contextlib.redirect_stdout(sys.stderr):
        for layer in problem["layers"]:
            name, key = layer["name"], json.dumps({**layer, "name": None})
            if key not in known:
                print(name, flush=True)
                known[key] = {order: evaluate(problem, layer, order) for order in ("engine", "search")}
            rows.append({"name": name, **known[key]})
    json.dump({"versions": {"python": sys.version.split()[0], "accelforge": importlib.metadata.version("accelforge")},
               "layers": rows}, sys.stdout)


if __name__ == "__main__":
    main()
