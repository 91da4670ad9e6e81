"""Activation memory: where every tensor lives while it is needed.

A (bank, parity) memory serves one read per cycle, and the post-processor's reads (residuals and maximum-pool updates)
go before the array's window reads. So the tensors that a layer's post-processor reads are kept out of the banks of the
layer's input wherever they fit elsewhere. Writes have a port of their own and cost no read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from arch.config import EngineConfig
from compiler.errors import CompileError
from compiler.geometry import Geometry
from golden.topology import IMAGE

_RANDOM_ORDERS = 64


@dataclass
class _Block:
    """Bytes held by one tensor, or by several that follow one another in place. Alive from layer ``first`` to ``last``,
    both included."""

    size: int
    first: int
    last: int
    #: Cost of sharing a bank, by block number: post-processor reads that would hold up window reads.
    conflicts: dict[int, int] = field(default_factory=dict)

    def overlaps(self, other: _Block) -> bool:
        """Whether both are alive at some time."""
        return self.first <= other.last and other.first <= self.last


def in_place(geometry: Geometry, last_use: dict[str, int]) -> bool:
    """Whether the output may be written over the residual: every byte is read before it is written, and by no one
    after."""
    layer = geometry.layer
    return (layer.residual is not None and layer.residual != layer.input and not layer.wide
            and geometry.pool_kind != "max" and last_use[layer.residual] == geometry.index)


def _blocks(layers: tuple[Geometry, ...], config: EngineConfig) -> tuple[list[_Block], dict[str, int]]:
    """The blocks, and the block number of every tensor."""
    alignment = max(config.bus_bytes, config.lanes)

    def aligned(size: int) -> int:
        return -(-size // alignment) * alignment

    last_use = {}
    for geometry in layers:
        last_use[geometry.layer.input] = geometry.index
        if geometry.layer.residual is not None:
            last_use[geometry.layer.residual] = geometry.index
    last_use[layers[-1].name] = len(layers)
    height, width, channels = layers[0].input_shape
    blocks = [_Block(aligned(height * width * channels), -1, last_use[IMAGE])]
    number = {IMAGE: 0}
    for geometry in layers:
        layer = geometry.layer
        last = last_use.get(layer.name, geometry.index)
        size = aligned(geometry.output_bytes)
        if in_place(geometry, last_use):
            number[layer.name] = number[layer.residual]
            block = blocks[number[layer.name]]
            block.size, block.last = max(block.size, size), last
        else:
            number[layer.name] = len(blocks)
            blocks.append(_Block(size, geometry.index, last))
    for geometry in layers:
        layer = geometry.layer
        source = number[layer.input]
        reads = sum(geometry.groups(config, tile) for tile in range(geometry.column_tiles(config))) * geometry.pixels
        for name in (layer.residual, layer.name if geometry.pool_kind == "max" else None):
            if name is not None and number[name] != source:
                for one, other in ((number[name], source), (source, number[name])):
                    blocks[one].conflicts[other] = blocks[one].conflicts.get(other, 0) + reads
    return blocks, number


def _place(blocks: list[_Block], order: list[int], config: EngineConfig, banked: bool) -> tuple[int, list[int]] | None:
    """(cost, addresses) of placing the blocks one by one where they cost least, lowest first; None if one does not fit.
    With ``banked`` off, cost is not looked at and memory is left in one piece."""
    bank = config.bank_bytes

    def banks(number: int, address: int) -> tuple[int, int]:
        return address // bank, (address + blocks[number].size - 1) // bank

    addresses = {}
    total = 0
    for number in order:
        block = blocks[number]
        taken = [(addresses[other], addresses[other] + blocks[other].size)
                 for other in addresses if block.overlaps(blocks[other])]
        starts = {0, *(end for _, end in taken)}
        if banked:
            starts |= set(range(0, config.activation_bytes, bank)) | {begin - block.size for begin, _ in taken}
        choices = []
        for start in starts:
            end = start + block.size
            if start < 0 or end > config.activation_bytes or any(start < high and low < end for low, high in taken):
                continue
            low_bank, high_bank = banks(number, start)
            cost = 0
            for other, reads in block.conflicts.items():
                if other in addresses:
                    low, high = banks(other, addresses[other])
                    cost += reads * (low <= high_bank and low_bank <= high)
            choices.append((cost, start))
        if not choices:
            return None
        cost, addresses[number] = min(choices) if banked else min(choices, key=lambda choice: choice[1])
        total += cost
    return total, [addresses[number] for number in range(len(blocks))]


def allocate(layers: tuple[Geometry, ...], config: EngineConfig) -> dict[str, int]:
    """Byte address of every tensor by name, a multiple of a beat. Raises CompileError if they do not fit."""
    blocks, number = _blocks(layers, config)
    live = {geometry.index: sum(block.size for block in blocks if block.first <= geometry.index <= block.last)
            for geometry in layers}
    worst = max(live, key=live.get)
    advice = "use a configuration with larger activation_bytes or a smaller input"
    if live[worst] > config.activation_bytes:
        raise CompileError(f"layer {layers[worst].name}: the tensors alive need {live[worst]} bytes of activation "
                           f"memory, the engine has {config.activation_bytes}: {advice}")
    everything = list(range(len(blocks)))
    orders = [sorted(everything, key=lambda index: (-blocks[index].size, index)),
              sorted(everything, key=lambda index: (-sum(blocks[index].conflicts.values()), index)), everything]
    generator = random.Random(0)
    orders += [generator.sample(everything, len(everything)) for _ in range(_RANDOM_ORDERS)]
    best = None
    for banked in (True, False):
        for order in orders:
            placed = _place(blocks, order, config, banked)
            if placed and (best is None or placed[0] < best[0]):
                best = placed
            if best and best[0] == 0:
                break
    if best is None:
        raise CompileError(f"layer {layers[worst].name}: the tensors alive need {live[worst]} bytes of activation "
                           f"memory in pieces that do not fit the engine's {config.activation_bytes}: {advice}")
    return {name: best[1][block] for name, block in number.items()}
