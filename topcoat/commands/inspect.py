"""Say where every byte of a model goes, beside the Shannon bound and the paper's formula.

example: topcoat inspect fashion-n3
"""

from pathlib import Path

from golden import bundled, packed
from topcoat.output import table, write_json


def configure(parser):
    parser.add_argument("model", metavar="M.coat", help="file, or a bundled model's name")
    parser.add_argument("--json", type=Path, metavar="F", help="write the same as JSON")


def run(options) -> int:
    report = packed.inspect(bundled.find(options.model))
    rows = [(layer["name"], f"{layer['weights']:,}", " ".join(f"{density:.3f}" for density in layer["densities"]),
             layer["code"], str(layer["lanes"] or "-"), f"{layer['coded_bits']:,}", f"{layer['shannon_bits']:,.0f}",
             f"{layer['coded_bits'] / layer['shannon_bits']:.3f}" if layer["shannon_bits"] else "-")
            for layer in report["layers"]]
    print(table(("layer", "weights", "densities", "code", "lanes", "coded bits", "Shannon bits", "ratio"), rows))
    weights = report["weights"]
    print()
    print(table(("size", "bytes", "bits / weight"), [
        (name, f"{size:,.0f}", f"{8 * size / weights:.3f}") for name, size in (
            *((f"file: {part}", size) for part, size in report["parts"].items()),
            ("file", report["file_bytes"]),
            ("Shannon bound of the indices", sum(layer["shannon_bits"] for layer in report["layers"]) / 8),
            ("paper's formula", report["paper_bits"] / 8),
            ("dense fp32", 4 * weights), ("dense int8", weights), ("dense 1 bit", weights / 8))]))
    write_json(options.json, report)
    return 0
