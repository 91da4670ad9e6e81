"""What an engine can run: every limit that a network can break, found before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arch.config import EngineConfig
from arch.descriptor import FIELDS
from compiler.errors import CompileError
from compiler.geometry import Geometry
from compiler.steps import LayerStep, LoadStep, Step, StoreStep

if TYPE_CHECKING:  # importing it would load torch, which the compiler does not need
    from golden.integer import IntegerLayer, IntegerNetwork


def _signed_bits(smallest: int, largest: int) -> int:
    """Width of the two's complement number that holds both."""
    return 1 + max(largest.bit_length(), (~smallest).bit_length() if smallest < 0 else 0)


def _check_widths(geometry: Geometry, layer: IntegerLayer, bounds: tuple[int, int], config: EngineConfig):
    name, limit = geometry.name, config.weight_limit
    if layer.code == "stored":
        values, what = (int(layer.stored.min()), int(layer.stored.max())), "stored weights"
    else:
        values, what = (min(layer.table), max(layer.table)), "scale table"
    # Only a stored byte has the one value more that two's complement allows.
    lowest = -128 if layer.code == "stored" and config.weight_bits == 8 else -limit
    if values[0] < lowest or values[1] > limit:
        raise CompileError(f"layer {name}: {what} in {values[0]}..{values[1]} need more than the engine's weight_bits "
                           f"{config.weight_bits} ({lowest}..{limit}): use a configuration with larger weight_bits")
    bits = _signed_bits(*bounds)
    if bits > config.accumulator_bits:
        raise CompileError(f"layer {name}: sums in {bounds[0]}..{bounds[1]} need {bits} bits, the engine's "
                           f"accumulator_bits is {config.accumulator_bits}: use a configuration with at least {bits}")


def _check_fields(geometry: Geometry):
    layer, name = geometry.layer, geometry.name
    height, width, _ = geometry.input_shape
    sizes = {
        "input_height": (height, "rows of input"),
        "row_bytes": (geometry.row_bytes, "bytes in a row of input"),
        "map_width": (geometry.map_shape[1], "pixels in a row of output"),
        "pixels": (geometry.pixels, "pixels of output"),
        "run_bytes": (geometry.run_bytes, "bytes in a kernel row"),
        "step_bytes": (layer.stride * layer.in_channels, "bytes from one window to the next"),
        "row_step_bytes": (layer.stride * geometry.row_bytes, "bytes from one row of windows to the next"),
        "kernel_rows": (layer.kernel, "kernel rows"),
        "stride": (layer.stride, "pixels of stride"),
        "out_channels": (layer.out_channels, "output channels"),
    }
    if geometry.pool_kind == "max":
        sizes |= {"pool_kernel": (layer.pool.kernel, "rows of pool window"),
                  "pool_stride": (layer.pool.stride, "pixels of pool stride")}
    for field, (value, what) in sizes.items():
        largest = (1 << FIELDS[field].bits) - 1
        if value > largest:
            raise CompileError(f"layer {name}: needs {value} {what}, the engine has at most {largest}: "
                               f"use a smaller input or layer")
    if geometry.pool_kind == "max" and layer.pool.kernel > 2 * layer.pool.stride:
        raise CompileError(f"layer {name}: a maximum pool of kernel {layer.pool.kernel} and stride {layer.pool.stride} "
                           f"puts a pixel into more than 2x2 windows, the engine handles kernel <= 2 * stride: "
                           f"use a larger pool stride")


def check(network: IntegerNetwork, layers: tuple[Geometry, ...], config: EngineConfig):
    """Raise CompileError for the first thing in ``network`` that an engine of ``config`` does not have."""
    if network.rounds != config.rounds:
        raise CompileError(f"network {network.topology.name}: its random stream has {network.rounds} rounds, the "
                           f"engine's has {config.rounds}: use a configuration with rounds={network.rounds}")
    check_shapes(layers)
    bounds = network.accumulator_bounds()
    for geometry, layer in zip(layers, network.layers):
        _check_widths(geometry, layer, bounds[geometry.name], config)


def check_shapes(layers: tuple[Geometry, ...]):
    """Raise CompileError for the first layer whose shape no engine can run."""
    for geometry in layers:
        _check_fields(geometry)


def check_length(network: str, steps: Sequence[Step], batch: int):
    """Raise CompileError if ``steps`` of the network of that name, for every image of a batch, are more than a program
    can have."""
    largest = (1 << FIELDS["wait_layers"].bits) - 1
    for kind, what in (LayerStep, "layers or strips of layers"), (LoadStep, "loads"), (StoreStep, "stores"):
        count = sum(isinstance(step, kind) for step in steps)
        if batch * count > largest:
            raise CompileError(f"network {network}: {batch} x {count} {what}, a program has at most "
                               f"{largest}: use a smaller batch or a configuration with larger activation_bytes")
