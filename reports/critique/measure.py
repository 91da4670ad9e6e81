"""From finished trainings to results: packs every network and measures its integers on the whole test split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from golden import packed
from golden.pack import pack_measured
from golden.trained import TrainingConfig
from reports.critique.coding import stored_bits
from reports.critique.record import Result


def measure(folder: Path, config: TrainingConfig, data: Path) -> Result:
    """Pack the finished run of ``folder`` into it and measure it on the IDX folder ``data``. Raises like
    :func:`golden.pack.pack_measured`."""
    path = folder / "model.coat"
    pack_measured(folder, path, data)
    return packed_result(path, config)


def packed_result(path: Path, config: TrainingConfig) -> Result:
    """The result that a packed file holds, named like its folder. Raises CoatError for a damaged file."""
    network = packed.load(path)
    if config.densities is None:
        coded = [round(stored_bits(layer.stored, config.bits), 1) for layer in network.layers]
    else:
        coded = [layer["coded_bits"] for layer in packed.inspect(path)["layers"]]
    return Result(
        name=path.parent.name, width=config.topology.layers[0].out_channels, densities=config.densities or (),
        bits=config.bits or 0, kept=config.kept or 0., epochs=config.epochs, seed=config.seed,
        float_accuracy=network.provenance["float_accuracy"], integer_accuracy=network.provenance["integer_accuracy"],
        file_bytes=path.stat().st_size, coded_bits=tuple(coded),
        zeros=tuple(int(np.count_nonzero(network.weights(index) == 0)) for index in range(len(network.layers))))
