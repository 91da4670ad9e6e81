"""From a training checkpoint to the integer network that is packed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from golden import datasets, packed
from golden.checkpoint import CheckpointError
from golden.evaluate import accuracy
from golden.integer import IntegerNetwork
from golden.quantise import quantise
from golden.recode import recode
from golden.trained import load_network

CALIBRATION_IMAGES = 512
"""Images that :func:`pack` calibrates with at most."""


def pack(checkpoint_dir: Path, calibration: np.ndarray, *, data_set: str) -> IntegerNetwork:
    """The integer network of a checkpoint folder, calibrated with the first images of ``calibration``.

    ``calibration`` is uint8 (n, c, h, w), of the training split. Masks are the exact ones of the scores, by the kept
    count that the checkpoint names. The result's provenance says where it comes from and the float accuracy. Raises
    CheckpointError for a damaged checkpoint, or an unfinished one.
    """
    network, config, saved = load_network(checkpoint_dir)
    if not saved.complete:
        raise CheckpointError(f"{checkpoint_dir}: training stopped after {saved.epoch} of {config.epochs} epochs; run "
                              "the same training again, it goes on from there")
    provenance = {"data_set": data_set, "epochs": saved.epoch, "training_seed": config.seed}
    provenance["float_accuracy"] = saved.metrics["test_accuracy"]
    return quantise(network, calibration[:CALIBRATION_IMAGES], provenance=provenance)


def pack_measured(checkpoint_dir: Path, path: Path, data: Path, *, code: str = "best",
                  progress: bool = False) -> IntegerNetwork:
    """Pack a checkpoint folder into ``path``, with the integer network's own accuracy in its provenance.

    ``data`` is an IDX folder: its training images calibrate, its whole test split gives ``integer_accuracy``. ``code``
    is that of all coat indices, one of :data:`golden.codes.CHOICES`.
    """
    network = recode(pack(checkpoint_dir, datasets.load(data, "train").images, data_set=data.name), code)
    test = datasets.load(data, "test")
    measured = {"integer_accuracy": accuracy(network, test, progress=progress), "test_images": len(test.labels)}
    network = dataclasses.replace(network, provenance={**network.provenance, **measured})
    packed.save(network, path)
    return network
