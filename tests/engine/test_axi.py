"""The accelerator behind its buses: Verilated, with cocotbext-axi's AXI4 memory and AXI4-Lite master."""

import inspect
import json
from pathlib import Path

import cocotb_tools.config
import cocotb_tools.runner
import numpy as np
import pytest
from cocotb_tools.check_results import get_results

from arch.config import SEGMENT_BYTES, EngineConfig
from arch.descriptor import BYTES
from compiler import compile_network
from hw.accelerator import Accelerator
from hw.emit import ACCELERATOR_MODULE, accelerator_verilog
from sim.build import VERILATOR_FLAGS, cached_model
from sim.cocotb_backend import VerilatorRunner
from sim.toolchain import find_toolchain
from tests.random_networks import random_image, random_network

CONFIG = EngineConfig.preset("tiny", name="watched", watchdog_cycles=4096)
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def model() -> Path:
    """The Verilated accelerator, from the cache of models."""
    toolchain = find_toolchain()
    ports = ["clk", "rst", *("__".join(map(str, path)) for path, _, _ in Accelerator(CONFIG).signature.flatten(
        Accelerator(CONFIG)))]
    lines = "\n".join(f'public_flat_rw -module "{ACCELERATOR_MODULE}" -var "{port}"' for port in ports)
    files = {"ports.vlt": f"`verilator_config\n{lines}\n", "accelerator.v": accelerator_verilog(CONFIG)}

    def build(folder: Path) -> Path:
        for name, text in files.items():
            (folder / name).write_text(text)
        VerilatorRunner(toolchain).build(
            sources=[folder / name for name in files], build_args=VERILATOR_FLAGS, hdl_toplevel=ACCELERATOR_MODULE,
            build_dir=folder / "model", timescale=("1ns", "1ps"), log_file=folder / "log.txt")
        return folder / "model" / ACCELERATOR_MODULE

    main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    parts = ["cocotb", toolchain.identity, *toolchain.make_variables, *VERILATOR_FLAGS,
             str(cocotb_tools.config.libs_dir), main.read_text(), inspect.getsource(cocotb_tools.runner),
             *files.values()]
    return cached_model(parts, ACCELERATOR_MODULE, build)


def segments(program) -> list[tuple[str, int, int, int, int]]:
    """What has a checksum: the error of a wrong one, its descriptor, its number there, its first byte and its bytes."""
    found = [("PROGRAM_CRC", position, 0, program.program_address + BYTES * position, BYTES)
             for position in range(program.descriptors)]
    for transfer in program.transfers:
        if transfer.stream in ("mask", "parameter"):
            position = next(one.position for one in program.operations if one.layer == transfer.layer)
            found += [(f"{transfer.stream.upper()}_CRC", position, first // SEGMENT_BYTES, transfer.address + first,
                       min(SEGMENT_BYTES, transfer.bytes - first)) for first in range(0, transfer.bytes, SEGMENT_BYTES)]
    return found


def run(model: Path, folder: Path, seed: int, test: str, runs: int) -> dict:
    """Runs the cocotb test on a random network and compares the output of each of its ``runs`` runs. Returns the
    compiler's prediction."""
    network = random_network(seed, CONFIG)
    program = compile_network(network, CONFIG)
    images = random_image(network, seed)[None]
    memory = bytearray(max(len(program.image), program.input_address + program.input_bytes,
                           program.output_address + program.output_bytes))
    memory[:len(program.image)] = program.image
    memory[program.input_address:program.input_address + program.input_bytes] = program.pack_input(images)
    memory.extend(bytes(-len(memory) % PAGE_BYTES))
    (folder / "memory.bin").write_bytes(memory)
    (folder / "job.json").write_text(json.dumps({
        "seed": seed, "configuration": CONFIG.hash, "program_address": program.program_address,
        "output_address": program.output_address, "output_bytes": program.output_bytes,
        "segments": segments(program)}))

    log, results = folder / "log.txt", folder / "results.xml"
    try:
        VerilatorRunner(find_toolchain()).test(
            "tests.engine.axi_run", ACCELERATOR_MODULE, hdl_toplevel_lang="verilog", build_dir=model.parent,
            test_dir=folder, testcase=test, plusargs=[f"+job={folder}"], results_xml=str(results), log_file=log)
        assert get_results(results) == (1, 0), log.read_text()[-4000:]
    except SystemExit:  # how the runner reports a failed test
        pytest.fail(log.read_text()[-4000:])

    golden = network.run(images)[program.layers[-1].name]
    outputs = (folder / "output.bin").read_bytes()
    assert len(outputs) == runs * program.output_bytes
    for index in range(runs):
        content = outputs[program.output_bytes * index:program.output_bytes * (index + 1)]
        assert np.array_equal(program.unpack_output(content), golden), f"run {index}"
    return program.predicted


@pytest.mark.parametrize("seed", range(4))
def test_whole_program(model, tmp_path, seed):
    predicted = run(model, tmp_path, seed, "whole_program", 2)
    counters = json.loads((tmp_path / "counters.json").read_text())
    assert {name: counters[name] for name in predicted if name.endswith("_bytes")} == {
        name: value for name, value in predicted.items() if name.endswith("_bytes")}


@pytest.mark.parametrize("seed", range(10, 12))
def test_reset_in_the_middle(model, tmp_path, seed):
    run(model, tmp_path, seed, "reset_in_the_middle", 5)


def test_bus_errors(model, tmp_path):
    run(model, tmp_path, 20, "bus_errors", 2)


def test_damaged_segments(model, tmp_path):
    run(model, tmp_path, 20, "damaged_segments", 1)


def test_a_stuck_bus(model, tmp_path):
    run(model, tmp_path, 20, "stuck_bus", 4)
