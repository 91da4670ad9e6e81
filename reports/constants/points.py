"""Regenerates the cached points of a constant set from the library it comes from. Not needed at run time.

Run in an environment of its own, with Python 3.12 or newer, g++ and make (a minute or two each):

    pip install hwcomponents==1.0.114 hwcomponents-cacti==1.0.40 hwcomponents-library==1.0.58 \
        hwcomponents-neurosim==1.0.43 zigzag-dse==3.9.1 six
    python reports/constants/points.py hwcomponents --node 45 -o reports/constants/hwcomponents-45.json
    python reports/constants/points.py zigzag --node 45 -o reports/constants/zigzag-45.json

Every value is in pJ. An SRAM point is one single-ported macro of ``bytes`` bytes that is read and written ``bits`` bits
at a time; at least 64 words deep, below which CACTI has no answer.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
"""Bits of a word."""

SIZES = tuple(1 << exponent for exponent in range(8, 23))
"""Bytes of a macro."""

DEPTH = 64
"""Fewest words of a macro."""


def grid() -> list[tuple[int, int]]:
    """(bytes, bits) of every point."""
    return [(size, width) for width in WIDTHS for size in SIZES if 8 * size >= DEPTH * width]


def versions(*packages: str) -> dict[str, str]:
    """Installed version of every package, and of Python."""
    return {"python": sys.version.split()[0], **{name: importlib.metadata.version(name) for name in packages}}


def point(size: int, width: int, read: float, write: float) -> dict:
    """One entry of the list of points."""
    return {"bytes": size, "bits": width, "read_pj": float(f"{read:.5g}"), "write_pj": float(f"{write:.5g}")}


def hwcomponents(node: int) -> dict:
    """Aladdin's arithmetic and registers, CACTI's memories, both through hwcomponents."""
    import hwcomponents_cacti
    from hwcomponents_library.library.aladdin import AladdinAdder, AladdinMultiplier, AladdinRegister

    # The binary in the wheel wants a newer C library than many systems have; its source is beside it.
    folder = Path(hwcomponents_cacti.__file__).parent / "cacti"
    if subprocess.run(["./cacti"], cwd=folder, capture_output=True).stdout == b"":
        subprocess.run(["make", "opt"], cwd=folder, check=True, capture_output=True)
    metres, sram = node * 1e-9, []
    for size, width in grid():
        memory = hwcomponents_cacti.SRAM(tech_node=metres, width=width, size=8 * size)
        sram.append(point(size, width, 1e12 * memory.read_energy, 1e12 * memory.write_energy))
    multiplier = AladdinMultiplier(tech_node=metres, width_a=8, width_b=8)
    adder = AladdinAdder(tech_node=metres, width=32)
    register = AladdinRegister(tech_node=metres, width=1)
    return {
        "title": f"Aladdin and CACTI through hwcomponents, {node} nm",
        "source": "Shao et al., Aladdin, ISCA 2014 (adder, multiplier, register at 40 nm, scaled by hwcomponents); "
                  "CACTI 7 (SRAM)",
        "versions": versions("hwcomponents", "hwcomponents-cacti", "hwcomponents-library"),
        "multiply": {"bits": [8, 8], "pj": float(f"{1e12 * multiplier.multiply().energy:.5g}"), "includes_add": False},
        "add": {"bits": 32, "pj": float(f"{1e12 * adder.add().energy:.5g}")},
        "register": {"bits": 1, "pj": float(f"{1e12 * register.write().energy:.5g}")},
        "sram": sram,
    }


def zigzag(node: int) -> dict:
    """The arithmetic of ZigZag's example architectures, and the CACTI that ZigZag ships."""
    import yaml
    from zigzag.cacti import cacti_parser

    # It calls `python` from PATH, and that must find zigzag.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    example = Path(cacti_parser.__file__).parents[1] / "inputs" / "hardware" / "tpu_like.yaml"
    architecture = yaml.safe_load(example.read_text())
    register = architecture["memories"]["rf_2B"]
    sram = []
    for size, width in grid():
        read, write, _ = cacti_parser.CactiParser().get_item(
            mem_name="point", mem_type="sram", size=8 * size, r_bw=width, r_port=0, w_port=0, rw_port=1, bank=1,
            technology=node / 1000)
        sram.append(point(size, width, read, write))
    return {
        "title": f"ZigZag's examples and CACTI, {node} nm",
        "source": "zigzag-dse, inputs/hardware/tpu_like.yaml (operational_array.unit_energy; memories.rf_2B; no node "
                  "given there); CACTI 7 as zigzag-dse ships it (SRAM)",
        "versions": versions("zigzag-dse"),
        "multiply": {"bits": [8, 8], "pj": architecture["operational_array"]["unit_energy"], "includes_add": True},
        "add": None,
        "register": {"bits": register["size"], "pj": register["w_cost"]},
        "sram": sram,
    }


def main():
    """Writes one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=("hwcomponents", "zigzag"))
    parser.add_argument("--node", type=int, required=True, help="technology node in nm")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    command = f"python reports/constants/points.py {options.library} --node {options.node}"
    content = {"name": f"{options.library}-{options.node}", "node_nm": options.node, "units": "pJ per action",
               "command": command} | {"hwcomponents": hwcomponents, "zigzag": zigzag}[options.library](options.node)
    points = content.pop("sram")
    head = json.dumps(content, indent=2)
    rows = ",\n".join(f"    {json.dumps(row)}" for row in points)
    options.output.write_text(f'{head[:-2]},\n  "sram": [\n{rows}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
