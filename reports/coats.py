"""The cost of coats: accuracy, bytes, cycles and weight traffic of models that differ in their number of coats."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from golden import packed
from sim.network import NetworkRun


@dataclass(frozen=True, kw_only=True)
class CoatRow:
    """One model. Bytes are of all weights of the model, or, for traffic, fetched for one image."""

    model: str
    coats: int
    #: Kept fraction of all weights.
    density: float
    #: Integer model on the whole test set, as measured when the file was packed; None if it was not.
    accuracy: float | None
    test_images: int
    #: Simulated hardware on the images that were run, equal to the integer model's on them.
    simulated_accuracy: float | None
    images: int
    bit_exact: bool
    weights: int
    file_bytes: int
    #: Coded indices, without normalisation and header.
    mask_bytes: float
    shannon_bytes: float
    paper_bytes: float
    fp32_bytes: int
    int8_bytes: int
    #: Cycles of one image, load and store included.
    cycles: float
    utilisation: float
    #: Bytes of weights that cross the memory interface for one image: coded masks in whole beats.
    weight_traffic: float
    #: The same for int8 weights.
    int8_traffic: int
    #: Share of the cycles that waited for weights, being built or still on their way.
    weight_stall: float

    def to_json(self) -> dict:
        """Plain JSON values."""
        return asdict(self)


def coat_row(model: str, path: Path, run: NetworkRun) -> CoatRow:
    """The row of one model from its file and its simulation."""
    size = packed.inspect(path)
    layers = size["layers"]
    weights = size["weights"]
    provenance = packed.load(path).provenance
    return CoatRow(
        model=model,
        coats=max(len(layer["densities"]) for layer in layers),
        density=sum(layer["densities"][0] * layer["weights"] for layer in layers if layer["densities"]) / weights,
        accuracy=provenance.get("integer_accuracy"),
        test_images=provenance.get("test_images", 0),
        simulated_accuracy=run.accuracy,
        images=run.images,
        bit_exact=run.bit_exact,
        weights=weights,
        file_bytes=size["file_bytes"],
        mask_bytes=sum(layer["coded_bits"] for layer in layers) / 8,
        shannon_bytes=sum(layer["shannon_bits"] for layer in layers) / 8,
        paper_bytes=size["paper_bits"] / 8,
        fp32_bytes=4 * weights,
        int8_bytes=weights,
        cycles=run.cycles / run.images,
        utilisation=run.utilisation,
        weight_traffic=run.weight_bytes / run.images,
        int8_traffic=weights,
        weight_stall=(run.counters["stall_weights"] + run.counters["stall_memory"]) / run.cycles,
    )


HEADER = ("model", "coats", "density", "accuracy", "file", "masks", "Shannon", "paper", "int8", "fp32",
          "cycles/image", "utilisation", "weight bytes/image", "against int8")

UNITS = ("coats", "kept", "of images", *("KiB",) * 6, "cycles", "of peak", "bytes", "times less")
"""Of the columns of :data:`HEADER`, the first one left out."""


def text_rows(rows: list[CoatRow]) -> list[tuple[str, ...]]:
    """Cells of the printed table, under :data:`HEADER`; sizes in KiB."""
    def kibibytes(size: float) -> str:
        return f"{size / 1024:.1f}"

    return [(row.model, str(row.coats), f"{row.density:.2f}",
             "-" if row.accuracy is None else f"{100 * row.accuracy:.2f} %",
             *map(kibibytes, (row.file_bytes, row.mask_bytes, row.shannon_bytes, row.paper_bytes, row.int8_bytes,
                              row.fp32_bytes)),
             f"{row.cycles:,.0f}", f"{100 * row.utilisation:.1f} %", f"{row.weight_traffic:,.0f}",
             f"{row.int8_traffic / row.weight_traffic:.2f}x") for row in rows]
