"""Accuracy of integer networks."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from golden.datasets import ImageSet
from golden.integer import IntegerNetwork, images_from_uint8

BATCH = 500
"""Images evaluated at once."""


def predictions(network: IntegerNetwork, images: np.ndarray, *, progress: bool = False) -> np.ndarray:
    """Class of every image, int64 (n,): the index of the largest logit, the lowest one on a tie.

    ``images`` is uint8 (n, c, h, w). Raises ValueError if its shape is not the network's.
    """
    if len(images) == 0:
        raise ValueError("images must hold at least one image")
    logits = []
    with tqdm(total=len(images), desc="integer model", unit="image", disable=not progress) as bar:
        for start in range(0, len(images), BATCH):
            logits.append(network.outputs(images_from_uint8(images[start:start + BATCH])))
            bar.update(len(logits[-1]))
    return np.concatenate(logits).reshape(len(images), -1).argmax(1)


def accuracy(network: IntegerNetwork, test: ImageSet, *, progress: bool = False) -> float:
    """Fraction of ``test`` that the integer network classifies right. ValueError for a label beyond its classes."""
    test.require_classes(network.topology.layers[-1].out_channels)
    return float((predictions(network, test.images, progress=progress) == test.labels).mean())
