"""From a training checkpoint to the integer network that is packed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from golden.integer import IntegerNetwork
from golden.quantise import quantise
from golden.trained import load_network

CALIBRATION_IMAGES = 512
"""Images that :func:`pack` calibrates with at most."""


def pack(checkpoint_dir: Path, calibration: np.ndarray, *, data_set: str = "fashion-mnist") -> IntegerNetwork:
    """The integer network of a checkpoint folder, calibrated with the first images of ``calibration``.

    ``calibration`` is uint8 (n, c, h, w), of the training split. Masks are the exact ones of the scores, by the kept
    count that the checkpoint names. The result's provenance says where it comes from and the float accuracy, if the
    training measured it. Raises CheckpointError for a damaged checkpoint.
    """
    network, config, saved = load_network(checkpoint_dir)
    provenance = {"data_set": data_set, "epochs": saved.epoch, "training_seed": config.seed}
    if "test_accuracy" in saved.metrics:
        provenance["float_accuracy"] = saved.metrics["test_accuracy"]
    return quantise(network, calibration[:CALIBRATION_IMAGES], provenance=provenance)
