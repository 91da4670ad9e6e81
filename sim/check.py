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


def compare_layer(first_image: int, layer: LayerTrace, expected: np.ndarray) -> list[Mismatch]:
    """The first difference between a traced layer and its golden tensor (image, y, x, c) in every image of a run that
    has one. ``first_image`` is the number of the run's first image."""
    if layer.tensor is None:
        raise ValueError(f"layer {layer.name}: the run kept no tensors (tensors=False)")
    if expected.shape != layer.tensor.shape:
        raise ValueError(f"layer {layer.name}: golden tensor must have shape {layer.tensor.shape}, "
                         f"not {expected.shape}")
    mismatches = []
    for image, (tensor, golden) in enumerate(zip(layer.tensor, expected)):
        written = None if layer.written is None else layer.written[image]
        wrong = tensor != golden
        if written is not None:
            wrong |= ~written
        count = int(np.count_nonzero(wrong))
        if count:
            position = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
            unwritten = written is not None and not written[position]
            mismatches.append(Mismatch(first_image + image, layer.name, position, int(golden[position]),
                                       None if unwritten else int(tensor[position]), count))
    if layer.stray and not mismatches:
        mismatches.append(Mismatch(
            first_image, layer.name, None, None, None, layer.stray,
            f"{layer.stray} bytes written outside its tensor, the first at address {layer.first_stray}"))
    return mismatches


def compare(result: SimulationResult, golden: Mapping[str, np.ndarray]) -> list[Mismatch]:
    """First difference of every layer of every image. ``golden`` maps each layer to its tensors (image, y, x, c), as
    ``golden.integer.IntegerNetwork.run`` returns them. Raises ValueError if the run has no trace, or a layer no
    tensor."""
    mismatches = []
    first = 0
    for run in result.runs:
        if not run.layers:
            raise ValueError("the engine must have a trace port (config.trace)")
        batch = len(run.outputs)
        for layer in run.layers:
            if layer.name not in golden:
                raise ValueError(f"layer {layer.name}: no golden tensor")
            mismatches += compare_layer(first, layer, golden[layer.name][first:first + batch])
        first += batch
    return mismatches


def require_equal(result: SimulationResult, golden: Mapping[str, np.ndarray]):
    """Raises LayerMismatch unless every layer of every image equals its golden tensor, and nothing else was written."""
    mismatches = compare(result, golden)
    if mismatches:
        raise LayerMismatch(mismatches)
