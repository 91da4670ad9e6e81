"""Write an accelerator for other people's flows: Verilog-2001, a self-checking testbench with one layer's vectors,
FuseSoC core, file lists and constraints for Vivado and Quartus, IP-XACT, the drivers' C headers, and documents.

example: topcoat verilog --preset edge --bus wishbone -o out/edge
"""

import argparse
import re
from pathlib import Path

from golden import bundled, datasets, packed
from golden.integer import images_from_uint8
from hw import registers
from hw.package import package
from hw.rtl import BUSES, emit_rtl
from sim.testbench import first_layer, testbench
from topcoat.engine import add_engine_arguments, engine_config
from topcoat.output import write_texts


def _megahertz(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 2000:
        raise argparse.ArgumentTypeError(f"must be megahertz in 0..2000, not {text!r}")
    return value


def _prefix(text: str) -> str:
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", text):
        raise argparse.ArgumentTypeError(f"must be letters, digits and underscores, a letter first, not {text!r}")
    return text


def configure(parser):
    add_engine_arguments(parser, note=": planes are smaller on FPGAs without multiplier blocks")
    parser.add_argument("--bus", choices=BUSES, default="axi",
                        help="what it is attached to: AXI4 for memory and AXI4-Lite for registers, or Wishbone B4, "
                             "pipelined and classic (default: %(default)s)")
    parser.add_argument("--name", type=_prefix, default="topcoat", metavar="PREFIX",
                        help="what the modules' and the core's names begin with: two cores in one design want two "
                             "(default: %(default)s)")
    parser.add_argument("--clock", type=_megahertz, default=100, metavar="MHZ",
                        help="clock that the constraints ask for (default: %(default)s)")
    parser.add_argument("--model", default="fashion-n3", metavar="M.coat",
                        help="file, or a bundled model's name: the testbench runs its first layer on the first bundled "
                             "image (default: %(default)s)")
    parser.add_argument("--html", action="store_true",
                        help="add a website of the registers, 8 MB (needs: pip install 'topcoat[html]')")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into")


def run(options) -> int:
    config = engine_config(options)
    network = packed.load(bundled.find(options.model))
    image = images_from_uint8(datasets.load(bundled.IMAGES, "test").first(1).images)[0]
    bench = testbench(config, options.bus, first_layer(network), image, options.name)
    files = package(config, options.bus, emit_rtl(config, options.bus, options.name), bench, options.clock)
    for path in (*options.output.glob("rtl/*.v"), *options.output.glob("tb/*.v")):
        if str(path.relative_to(options.output)) not in files:
            raise ValueError(f"{path} is of another design: name an empty folder, or remove {options.output}")
    documents = registers.write_documents(options.output / "docs", html=options.html)
    for path in (*write_texts(options.output, files), *documents):
        print(path)
    return 0
