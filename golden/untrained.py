"""Networks without training: random scores at the densities of trained ones, on a real photograph.

Their geometry, masks, traffic and bits are real. Their answers mean nothing, which their provenance says.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from golden.codes import CHOICES
from golden.densities import kept_count, schedule_densities
from golden.integer import IntegerNetwork, canonical_signs
from golden.network import SupermaskNetwork
from golden.networks import network_topology
from golden.photograph import photographs
from golden.quantise import quantise
from golden.recode import recode
from golden.supermask import layer_scale
from golden.topology import Layer, Topology

CALIBRATION_VIEWS = 4
"""Views of the photograph that set normalisation and scales."""

ROUNDS = 13


def random_indices(shape: tuple[int, ...], densities, generator: np.random.Generator) -> np.ndarray:
    """Coat indices of independent random scores: uint8 of ``shape``, every coat with exactly its kept count.

    Which weights have the largest of independent scores is a random permutation whatever their distribution, so that
    is what is drawn. Counts are those of the "released" convention.
    """
    indices = np.zeros(shape, np.uint8)
    flat = indices.reshape(-1)
    for density in densities:
        flat[:kept_count(flat.size, density)] += 1
    generator.shuffle(flat)
    return indices


class RandomSupermaskConv2d(nn.Module):
    """:class:`~golden.supermask.SupermaskConv2d` as calibration sees it, with coat indices in place of scores."""

    def __init__(self, layer: Layer, *, densities: tuple[float, ...], seed: int, rounds: int,
                 generator: np.random.Generator):
        super().__init__()
        self.layer = layer
        self.densities = densities
        self.scale = layer_scale(layer.fan_in, densities)
        shape = (layer.out_channels, layer.kernel, layer.kernel, layer.in_channels)
        self._indices = random_indices(shape, densities, generator)
        weights = canonical_signs(layer, seed, rounds) * self._indices.view(np.int8)
        self._weights = torch.from_numpy(weights).permute(0, 3, 1, 2)

    def coat_indices(self) -> np.ndarray:
        """Coat indices, uint8 (out, in, ky, kx)."""
        return self._indices.transpose(0, 3, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self._weights.float() * self.scale, stride=self.layer.stride,
                                 padding=self.layer.padding)


@torch.no_grad()
def _normalise(network: SupermaskNetwork, images: np.ndarray):
    """Make the statistics of ``images`` the network's running statistics."""
    for module in network.layers.values():
        if module.norm is not None:
            module.norm.momentum = 1.
    network.train()
    network(torch.from_numpy(images).float() / 255)
    network.eval()


def network(topology: str | Topology, *, coats: int = 3, density: float = .3, schedule: str = "uniform",
            code: str = "best", seed: int = 1, stored: bool = False) -> IntegerNetwork:
    """A network with random scores, or, if ``stored``, its int8 baseline: dense random weights of 8 bits.

    ``topology`` may be the name of one of :data:`golden.networks.NETWORKS`. ``density`` is the first coat's; the others
    follow by ``schedule`` (:data:`golden.densities.SCHEDULES`). ``code`` (:data:`golden.codes.CHOICES`) is that of
    all layers, "best" the smallest for each. With ``stored``, these four count for nothing. Normalisation and scales
    come from views of the photograph, so that activations spread as in a trained network. All of it follows from
    ``seed``. Raises ValueError for values out of range.
    """
    if code not in CHOICES:
        raise ValueError(f"code must be one of {', '.join(CHOICES)}, not {code!r}")
    if isinstance(topology, str):
        topology = network_topology(topology)
    images = photographs(topology.input_shape, CALIBRATION_VIEWS)
    if stored:
        frozen = SupermaskNetwork(topology, seed=seed, rounds=ROUNDS, generator=torch.Generator().manual_seed(seed))
        provenance = {"weights": "random, 8 bits, never trained: accuracy means nothing"}
    else:
        densities = schedule_densities(schedule, density, coats)
        generator = np.random.default_rng(seed)
        frozen = SupermaskNetwork(
            topology, densities=densities, seed=seed, rounds=ROUNDS,
            convolution=lambda layer: RandomSupermaskConv2d(layer, densities=densities, seed=seed, rounds=ROUNDS,
                                                            generator=generator))
        provenance = {"weights": f"random scores, {schedule} schedule, never trained: accuracy means nothing"}
    _normalise(frozen, images)
    quantised = quantise(frozen, images, provenance=provenance)
    return quantised if code == "best" else recode(quantised, code)
