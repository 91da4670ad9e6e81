"""From an integer network to a program: masks, tiling, allocation, descriptors, memory image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arch import descriptor
from arch.config import STREAM_BLOCK, EngineConfig
from arch.descriptor import Code, Opcode, PoolMode
from compiler.allocation import allocate
from compiler.checks import check
from compiler.errors import CompileError
from compiler.geometry import Geometry, geometries
from compiler.masks import MaskStream, mask_stream
from compiler.program import ImageBuilder, LayerPlan, Program, parameter_records
from compiler.schedule import Tiling, schedule
from golden.topology import IMAGE

if TYPE_CHECKING:  # importing it would load torch, which the compiler does not need
    from golden.integer import IntegerLayer, IntegerNetwork

CODES = {"raw": Code.RAW, "unary": Code.UNARY, "stored": Code.STORED}
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
        "stride": layer.stride,
        "pad_rows": layer.padding,
        "row_step_bytes": layer.stride * geometry.row_bytes,
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
            fields |= {"pool_kernel": pool.kernel, "pool_stride": pool.stride, "pool_padding": pool.padding}
        else:
            fields |= {"pool_multiplier": layer.pool_multiplier, "pool_shift": layer.pool_shift}
    return fields


def _tiling_fields(tiling: Tiling) -> dict[str, int]:
    return {"column_tiles": tiling.column_tiles, "pixel_tiles": tiling.pixel_tiles, "tile_pixels": tiling.tile_pixels}


def _plan(geometry: Geometry, stream: MaskStream, tiling: Tiling, addresses: dict[str, int],
          config: EngineConfig, macs: int, waits: int, parameter_bytes: int) -> LayerPlan:
    layer = geometry.layer
    beat = config.bus_bytes
    return LayerPlan(
        name=layer.name, index=geometry.index, column_tiles=tiling.column_tiles, pixel_tiles=tiling.pixel_tiles,
        tile_pixels=tiling.tile_pixels, mask_bytes=-(-stream.words.nbytes // beat) * beat, mask_bits=stream.bits,
        parameter_bytes=-(-parameter_bytes // beat) * beat, macs=macs, weights=layer.weights,
        beats=tiling.column_tiles * layer.kernel * geometry.run_chunks(config) * geometry.pixels, wait_layers=waits,
        input_address=addresses[layer.input], residual_address=addresses[layer.residual] if layer.residual else None,
        output_address=addresses[layer.name], output_shape=geometry.output_shape, wide=layer.wide,
        pool=POOLS[geometry.pool_kind])


def compile_network(network: IntegerNetwork, config: EngineConfig) -> Program:
    """Compile ``network`` for an engine of ``config``. Raises CompileError if the engine cannot run it."""
    layers = geometries(network.topology)
    check(network, layers, config)
    beat = config.bus_bytes

    def beats(size: int) -> int:
        return -(-size // beat)

    height, width, channels = layers[0].input_shape
    input_beats = beats(height * width * channels)
    output_beats = beats(layers[-1].output_bytes)
    addresses = allocate(layers, config)
    streams = [mask_stream(layer, config) for layer in network.layers]
    first_descriptors = beats(3 * descriptor.BYTES)
    # A layer waits for its input's producer alone. Every unit takes the layers in order, and the post-processor takes
    # one when the one before is done, so that residuals are there and whatever a layer overwrites has been read.
    waits = [geometry.producer + 1 for geometry in layers]
    tilings, timeline = schedule(layers, streams, config, loaded=first_descriptors + input_beats)

    image = ImageBuilder(config)
    descriptors = len(layers) + 4
    program_address = image.reserve(descriptors * descriptor.BYTES)
    masks = [image.append(stream.words.astype("<u2").tobytes()) for stream in streams]
    records = [parameter_records(layer.multiplier, layer.bias) for layer in network.layers]
    parameters = [image.append(record) for record in records]
    input_address = image.reserve(input_beats * beat)
    output_address = image.reserve(output_beats * beat)

    program = [
        descriptor.pack(opcode=Opcode.BEGIN, magic=descriptor.MAGIC, version=descriptor.VERSION,
                        configuration=config.hash, seed_low=network.seed & 0xFFFFFFFF, seed_high=network.seed >> 32),
        descriptor.pack(opcode=Opcode.LOAD, memory_address=input_address, activation_address=addresses[IMAGE],
                        beats=input_beats),
    ]
    macs = network.topology.macs()
    plans = []
    for geometry, layer, stream, tiling in zip(layers, network.layers, streams, tilings):
        index = geometry.index
        plan = _plan(geometry, stream, tiling, addresses, config, macs[geometry.name],
                     waits[index], len(records[index]))
        plans.append(plan)
        try:
            program.append(descriptor.pack(
                opcode=Opcode.LAYER, wait_layers=plan.wait_layers, wait_loads=int(geometry.producer < 0),
                input_address=plan.input_address, pad_value=layer.pad_value, output_address=plan.output_address,
                residual_address=plan.residual_address or 0, mask_address=masks[index], mask_words=stream.words.size,
                parameter_address=parameters[index], **_input_fields(geometry, config), **_tiling_fields(tiling),
                **_weight_fields(layer), **_output_fields(geometry, layer)))
        except ValueError as error:
            raise CompileError(f"layer {geometry.name}: {error}: use a smaller layer") from error
    program += [
        descriptor.pack(opcode=Opcode.STORE, wait_layers=len(layers), memory_address=output_address,
                        activation_address=addresses[layers[-1].name], beats=output_beats),
        descriptor.pack(opcode=Opcode.END),
    ]
    image.place(program_address, b"".join(program))
    return Program(
        config=config, image=image.build(), program_address=program_address, input_address=input_address,
        input_bytes=input_beats * beat, input_shape=layers[0].input_shape, output_address=output_address,
        output_bytes=output_beats * beat, layers=tuple(plans), descriptors=descriptors,
        predicted_cycles=timeline.done[-1] + output_beats)
