"""Holds every layer of a simulated run against the integer model, value by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim.backend import SimulationResult
from sim.job import LayerTrace


@dataclass(frozen=True)
class Mismatch:
    """The first value of a layer that is wrong, in storage order. ``got`` is None if it was never written."""

    image: int
    layer: str
    #: (y, x, channel), or None if bytes outside the layer's tensor were written.
    position: tuple[int, int, int] | None
    expected: int | None
    got: int | None
    #: Wrong values in the layer, or bytes outside it.
    count: int
    detail: str = ""

    def __str__(self) -> str:
        place = f"image {self.image}, layer {self.layer}"
        if self.position is None:
            return f"{place}: {self.detail}"
        y, x, channel = self.position
        got = "nothing was written" if self.got is None else f"got {self.got}"
        return (f"{place}, position (y={y}, x={x}, c={channel}): expected {self.expected}, {got}; "
                f"{self.count} values differ")


class LayerMismatch(AssertionError):
    """Simulation and integer model differ. ``mismatches`` has the first value of every layer that does."""

    def __init__(self, mismatches: list[Mismatch]):
        super().__init__("\n".join(str(mismatch) for mismatch in mismatches))
        self.mismatches = mismatches


def compare_layer(image: int, layer: LayerTrace, expected: np.ndarray) -> Mismatch | None:
    """The first difference between a traced layer and its golden tensor (y, x, c), if there is one."""
    if layer.tensor is None:
        raise ValueError(f"layer {layer.name}: the run kept no tensors (tensors=False)")
    if expected.shape != layer.tensor.shape:
        raise ValueError(f"layer {layer.name}: golden tensor must have shape {layer.tensor.shape}, "
                         f"not {expected.shape}")
    wrong = layer.tensor != expected
    if layer.written is not None:
        wrong |= ~layer.written
    count = int(np.count_nonzero(wrong))
    if count:
        position = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
        unwritten = layer.written is not None and not layer.written[position]
        return Mismatch(image, layer.name, position, int(expected[position]),
                        None if unwritten else int(layer.tensor[position]), count)
    if layer.stray:
        return Mismatch(image, layer.name, None, None, None, layer.stray,
                        f"{layer.stray} bytes written outside its tensor, the first at address {layer.first_stray}")
    return None


def compare(result: SimulationResult, golden: Mapping[str, np.ndarray]) -> list[Mismatch]:
    """First difference of every layer of every image. ``golden`` maps each layer to its tensors (image, y, x, c), as
    ``golden.integer.IntegerNetwork.run`` returns them. Raises ValueError if the run has no trace, or a layer no
    tensor."""
    mismatches = []
    for index, image in enumerate(result.images):
        if not image.layers:
            raise ValueError("the engine must have a trace port (config.trace)")
        for layer in image.layers:
            if layer.name not in golden:
                raise ValueError(f"layer {layer.name}: no golden tensor")
            mismatch = compare_layer(index, layer, golden[layer.name][index])
            if mismatch is not None:
                mismatches.append(mismatch)
    return mismatches


def require_equal(result: SimulationResult, golden: Mapping[str, np.ndarray]):
    """Raises LayerMismatch unless every layer of every image equals its golden tensor, and nothing else was written."""
    mismatches = compare(result, golden)
    if mismatches:
        raise LayerMismatch(mismatches)
