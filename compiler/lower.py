"""From an integer network to a program: masks, plan, waits, tiling, descriptors, memory image."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from arch import descriptor
from arch.config import STREAM_BLOCK, EngineConfig
from arch.descriptor import Code, Opcode, PoolMode
from compiler.checks import check, check_length
from compiler.errors import CompileError
from compiler.geometry import Geometry, geometries
from compiler.image import ImageBuilder, Regions
from compiler.masks import MaskStream, mask_streams
from compiler.outline import Outline, with_early_stores
from compiler.planning import plan
from compiler.program import LayerPlan, Operation, Program, Transfer
from compiler.schedule import Tiling
from compiler.sizes import MaskSize
from compiler.steps import LayerStep, LoadStep

if TYPE_CHECKING:  # importing it would load torch, which the compiler does not need
    from golden.integer import IntegerLayer, IntegerNetwork

CODES = {"raw": Code.RAW, "unary": Code.UNARY, "ans": Code.ANS, "stored": Code.STORED}
POOLS = {None: PoolMode.NONE, "max": PoolMode.MAX, "average": PoolMode.AVERAGE}


def _input_fields(geometry: Geometry, config: EngineConfig) -> dict[str, int]:
    layer = geometry.layer
    return {
        "input_height": geometry.input_shape[0],
        "row_bytes": geometry.row_bytes,
        "step_bytes": layer.stride * layer.in_channels,
        "pad_bytes": layer.padding * layer.in_channels,
        "run_bytes": geometry.run_bytes,
        "kernel_rows": layer.kernel,
        "stride": geometry.row_stride,
        "pad_rows": geometry.pad_rows,
        "row_step_bytes": geometry.row_stride * geometry.row_bytes,
        "run_chunks": geometry.run_chunks(config),
        "run_blocks": -(-geometry.run_bytes // STREAM_BLOCK),
        "map_height": geometry.map_shape[0],
        "map_width": geometry.map_shape[1],
        "pixels": geometry.pixels,
        "out_channels": layer.out_channels,
    }


def _weight_fields(layer: IntegerLayer) -> dict[str, int]:
    # Entry M of the table is byte M, two's complement.
    table = int.from_bytes(bytes(entry & 0xFF for entry in layer.table), "little")
    return {
        "stream": layer.layer.stream,
        "code": CODES[layer.code],
        "symbol_bits": layer.symbol_bits,
        "coats": layer.coats,
        "table_low": table & 0xFFFFFFFF,
        "table_high": table >> 32,
        "ans_offset": layer.offset,
        **{f"frequency_{index}": layer.frequencies[index] for index in range(1, len(layer.frequencies))},
    }


def _output_fields(geometry: Geometry, layer: IntegerLayer) -> dict[str, int]:
    pool = geometry.layer.pool
    height, width, channels = geometry.output_shape
    fields = {
        "residual": geometry.layer.residual is not None,
        "wide": geometry.layer.wide,
        "pool": POOLS[geometry.pool_kind],
        "shift": layer.shift,
        "clamp_low": layer.low,
        "residual_multiplier": layer.residual_multiplier,
    }
    if pool is not None:
        fields |= {"pool_height": height, "pool_width": width, "pool_row_bytes": width * channels}
        if pool.kind == "max":
            fields |= {"pool_kernel": pool.kernel, "pool_stride": pool.stride, "pool_padding": pool.padding,
                       "pool_row_padding": geometry.pool_row_padding}
        else:
            fields |= {"pool_multiplier": layer.pool_multiplier, "pool_shift": layer.pool_shift}
    return fields


def _tiling_fields(tiling: Tiling) -> dict[str, int]:
    return {"column_tiles": tiling.column_tiles, "pixel_tiles": tiling.pixel_tiles, "tile_pixels": tiling.tile_pixels}


def compile_network(network: IntegerNetwork, config: EngineConfig, *, batch: int = 1) -> Program:
    """Compile ``network`` for an engine of ``config``: a run computes ``batch`` images, one after another.

    Raises CompileError if the engine cannot run it.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch!r}")
    layers = geometries(network.topology)
    check(network, layers, config)
    streams = mask_streams(network.layers, config)
    masks = tuple(map(MaskSize.of, streams))
    steps = with_early_stores(plan(layers, masks, config), layers, config)
    check_length(network.topology.name, steps, batch)
    image = ImageBuilder(config)
    regions = Regions(image, network, layers, streams, steps, config, batch)
    tables = [(layer.offset, layer.frequencies) if layer.code == "ans" else None for layer in network.layers]
    tensors = regions.tensors
    outline = Outline.of(steps, layers, masks, tables, tensors, config, batch, image.size)

    beat = config.bus_bytes
    indices = {geometry.name: geometry.index for geometry in layers}
    program = [descriptor.pack(opcode=Opcode.BEGIN, magic=descriptor.MAGIC, version=descriptor.VERSION,
                               configuration=config.hash, seed_low=network.seed & 0xFFFFFFFF,
                               seed_high=network.seed >> 32)]
    operations = []
    transfers = [Transfer(stream="program", address=regions.program, bytes=regions.descriptors * descriptor.BYTES,
                          layer=None, image=0)]
    for (step, number), wait, tiling in zip(outline.run, outline.waits, outline.tilings):
        if not isinstance(step, LayerStep):
            opcode = Opcode.LOAD if isinstance(step, LoadStep) else Opcode.STORE
            address = tensors.address(step.tensor, number) + step.offset
            program.append(descriptor.pack(opcode=opcode, memory_address=address, activation_address=step.address,
                                           beats=step.size // beat, **wait))
            transfers.append(Transfer(
                stream=opcode.name.lower(), address=address, bytes=step.size, image=number,
                layer=step.layer if opcode == Opcode.LOAD else indices[step.tensor]))
            continue
        part, index = outline.parts[step], step.layer
        operations.append(Operation(
            position=len(program), layer=index, image=number, first_row=step.strip.first, rows=part.output_shape[0],
            output_address=step.output_address, output_bytes=part.output_bytes, macs=part.macs))
        fields = {}
        for name, (address, size) in ("mask", regions.masks[index]), ("parameter", regions.parameters[index]):
            keep, reuse = getattr(step, f"{name}_keep"), getattr(step, f"{name}_reuse")
            fields |= {f"{name}_address": address, f"{name}_beats": 0 if reuse else size // beat,
                       f"{name}_keep": keep, f"{name}_reuse": reuse}
            if not reuse:
                transfers.append(Transfer(stream=name, address=address, bytes=size, layer=index, image=number))
        try:
            program.append(descriptor.pack(
                opcode=Opcode.LAYER, **wait, input_address=step.input_address,
                pad_value=network.layers[index].pad_value, residual_address=step.residual_address or 0,
                output_address=step.output_address, mask_words=streams[index].words.size, **fields,
                **_input_fields(part, config), **_tiling_fields(tiling), **_weight_fields(network.layers[index]),
                **_output_fields(part, network.layers[index])))
        except ValueError as error:
            raise CompileError(f"layer {part.name}: {error}: use a smaller layer") from error
    program.append(descriptor.pack(opcode=Opcode.END))
    image.place(regions.program, b"".join(program))
    return Program(
        config=config, batch=batch, image=image.build(), program_address=regions.program, input_address=tensors.input,
        input_bytes=batch * tensors.input_bytes, input_shape=layers[0].input_shape, output_address=tensors.output,
        output_bytes=batch * tensors.output_bytes, layers=_plans(layers, streams, operations, transfers, batch),
        operations=tuple(operations), transfers=tuple(transfers), descriptors=regions.descriptors,
        requests=tuple(streams[operation.layer].requests for operation in operations))


def _plans(layers: tuple[Geometry, ...], streams: list[MaskStream], operations: list[Operation],
           transfers: list[Transfer], batch: int) -> tuple[LayerPlan, ...]:
    strips = Counter(operation.layer for operation in operations)
    moved = Counter()
    for transfer in transfers:
        moved[transfer.layer, transfer.stream] += transfer.bytes
    return tuple(LayerPlan(
        name=geometry.name, index=geometry.index, mask_bits=stream.bits, macs=geometry.macs,
        weights=geometry.layer.weights, strips=strips[geometry.index] // batch,
        bytes={f"{name}_bytes": moved[geometry.index, name] for name in ("mask", "parameter", "load", "store")},
        output_shape=geometry.output_shape, wide=geometry.layer.wide, pool=POOLS[geometry.pool_kind])
        for geometry, stream in zip(layers, streams))
