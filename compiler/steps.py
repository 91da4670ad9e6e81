"""What a plan is made of: loads, stores and strips of layers, in program order."""

from __future__ import annotations

from typing import NamedTuple

from compiler.geometry import Strip


class LoadStep(NamedTuple):
    """``size`` bytes of a tensor's copy in DRAM, from byte ``offset`` on, to activation address ``address``."""

    layer: int
    tensor: str
    offset: int
    size: int
    address: int


class StoreStep(NamedTuple):
    """``size`` bytes at activation address ``address`` to byte ``offset`` of a tensor's copy in DRAM."""

    tensor: str
    offset: int
    size: int
    address: int


class LayerStep(NamedTuple):
    """One strip of a layer: addresses of its first input row, first residual row and first output row."""

    layer: int
    strip: Strip
    input_address: int
    residual_address: int | None
    output_address: int
    #: The input is the rows alone that windows touch.
    packed: bool
    #: The next or the step before is a strip of the same layer, and the buffer holds the masks or the parameters.
    mask_keep: bool = False
    mask_reuse: bool = False
    parameter_keep: bool = False
    parameter_reuse: bool = False


Step = LoadStep | StoreStep | LayerStep
