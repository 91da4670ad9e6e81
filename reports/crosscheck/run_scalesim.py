"""Runs SCALE-Sim on a problem (standard input; reports/crosscheck/problem.py) and writes what it found to stdout.

Needs scalesim and nothing of this project. Cycles of the systolic array alone, weight-stationary and output-stationary:
its simulation of the memories walks every cycle in Python, and one layer takes more than four minutes.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path

from scalesim.layout_utils import layouts
from scalesim.scale_config import scale_config
from scalesim.single_layer_sim import single_layer_sim
from scalesim.topology_utils import topologies

CONFIG = """[general]
run_name = crosscheck
[architecture_presets]
ArrayHeight: {lanes}
ArrayWidth: {columns}
IfmapSramSzkB: {activations}
FilterSramSzkB: {weights}
OfmapSramSzkB: {activations}
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth: {bus}
Dataflow: {dataflow}
ReadRequestBuffer: 64
WriteRequestBuffer: 64
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: {lanes}
IfmapSRAMBankNum: 1
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: {lanes}
FilterSRAMBankNum: 1
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: USER
UseRamulatorTrace: False
"""

DATAFLOWS = ("ws", "os")


def cycles(problem: dict, layer: dict, dataflow: str, folder: Path) -> int:
    """Rows of the matrix of what the array asks for: one per cycle. SCALE-Sim knows no padding, so the input is as
    large as the windows of the map need."""
    sides = [(size - 1) * layer["stride"] + layer["kernel"] for size in layer["map"]]
    numbers = (*sides, *2 * [layer["kernel"]], layer["in_channels"], layer["out_channels"], layer["stride"])
    (folder / "topology.csv").write_text(
        "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,Sparsity,\n"
        f"layer,{','.join(map(str, numbers))},1:1,\n")
    (folder / "scale.cfg").write_text(CONFIG.format(
        lanes=problem["lanes"], columns=problem["columns"], activations=problem["activation_bytes"] >> 10,
        weights=problem["weight_bytes"] >> 10, bus=problem["bus_bits"] // 8, dataflow=dataflow))
    config, topology = scale_config(), topologies()
    config.read_conf_file(str(folder / "scale.cfg"))
    topology.load_arrays(str(folder / "topology.csv"))
    run = single_layer_sim()
    run.set_params(layer_id=0, config_obj=config, topology_obj=topology, layout_obj=layouts(), verbose=False)
    operands = run.op_mat_obj
    matrices = {"ifmap_op_mat": operands.get_ifmap_matrix()[1], "filter_op_mat": operands.get_filter_matrix()[1],
                "ofmap_op_mat": operands.get_ofmap_matrix()[1]}
    if dataflow == "ws":
        matrices |= {"sparsity_ratio_N": run.sparsity_ratio_N, "sparsity_ratio_M": run.sparsity_ratio_M,
                     "ifmap_op_mat_original": operands.ifmap_addr_matrix_original,
                     "sparsity_filter_array": operands.sparse_filter_array}
    run.compute_system.set_params(config_obj=config, **matrices)
    demand, *_ = run.compute_system.get_demand_matrices()
    return len(demand)


def main():
    """Layers of one shape run once."""
    problem, known, rows = json.load(sys.stdin), {}, []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        for layer in problem["layers"]:
            name, key = layer["name"], json.dumps({**layer, "name": None})
            if key not in known:
                known[key] = {dataflow: cycles(problem, layer, dataflow, Path(folder)) for dataflow in DATAFLOWS}
            rows.append({"name": name, **known[key]})
    versions = {name: importlib.metadata.version(name) for name in ("scalesim", "numpy")}
    json.dump({"versions": {"python": sys.version.split()[0], **versions}, "layers": rows}, sys.stdout)


if __name__ == "__main__":
    main()
