"""Compile a model for an engine into a program file, which the drivers load (docs/driver.md).

example: topcoat compile fashion-n3 --preset edge --address 0x10000000 -o fashion-n3.program
"""

from __future__ import annotations

from pathlib import Path

from compiler.lower import compile_network
from driver.program import ProgramFile
from golden import bundled, packed
from golden.checkpoint import write_atomically
from topcoat.engine import add_engine_arguments, engine_config


def configure(parser):
    parser.add_argument("model", metavar="M.coat", help="file, or a bundled model's name")
    add_engine_arguments(parser, note=", as its Verilog was written")
    parser.add_argument("--batch", type=int, default=1, metavar="B", help="images of a run (default: %(default)s)")
    parser.add_argument("--address", type=lambda text: int(text, 0), default=0, metavar="A",
                        help="of its memory, as the engine sees it; the Python driver moves programs itself "
                             "(default: %(default)s)")
    parser.add_argument("-o", "--output", dest="file", type=Path, required=True, metavar="F", help="file to write")


def run(options) -> int:
    config = engine_config(options)
    network = packed.load(bundled.find(options.model))
    program = ProgramFile.of(compile_network(network, config, batch=options.batch)).relocated(options.address)
    content = program.to_bytes()
    write_atomically(options.file, lambda temporary: temporary.write_bytes(content))
    shapes = ("x".join(map(str, shape)) for shape in (program.input_shape, program.output_shape))
    print(f"{options.file}: {len(content)} bytes for {options.preset} ({config.hash:08x})\n"
          f"memory: {program.memory_bytes} bytes from {program.address:#x} on\n"
          f"a run: {program.batch} of {' to '.join(shapes)} (height x width x channels), "
          f"{program.input_bytes} bytes of input, {program.output_bytes} of output")
    return 0
