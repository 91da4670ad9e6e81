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
from compiler.masks import MaskStream, mask_streams
from compiler.program import ImageBuilder, LayerPlan, Operation, Program, Transfer, parameter_records, segments
from compiler.schedule import Tiling, schedule
from golden.topology import IMAGE

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
                       "pool_row_padding": pool.padding}
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
    check(network, layers, config, batch)
    beat = config.bus_bytes

    def beats(size: int) -> int:
        return -(-size // beat)

    height, width, channels = layers[0].input_shape
    input_beats = beats(height * width * channels)
    output_beats = beats(layers[-1].output_bytes)
    addresses = allocate(layers, config)
    streams = mask_streams(network.layers, config)
    tilings, timeline = schedule(layers, streams, config, loaded=beats(3 * descriptor.BYTES) + input_beats)

    image = ImageBuilder(config)
    descriptors = batch * (len(layers) + 2) + 2
    program_address = image.reserve(descriptors * descriptor.BYTES)
    coded = [segments(stream.words.astype("<u2").tobytes(), config) for stream in streams]
    masks = [image.append(content) for content in coded]
    records = [segments(parameter_records(layer.multiplier, layer.bias), config) for layer in network.layers]
    parameters = [image.append(record) for record in records]
    input_address = image.reserve(batch * input_beats * beat)
    output_address = image.reserve(batch * output_beats * beat)

    program = [descriptor.pack(opcode=Opcode.BEGIN, magic=descriptor.MAGIC, version=descriptor.VERSION,
                               configuration=config.hash, seed_low=network.seed & 0xFFFFFFFF,
                               seed_high=network.seed >> 32)]
    operations = []
    transfers = [Transfer(stream="program", address=program_address, bytes=descriptors * descriptor.BYTES, layer=None,
                          image=0)]

    def move(opcode: Opcode, number: int, address: int, place: int, count: int, layer: int, **waits: int):
        program.append(descriptor.pack(opcode=opcode, memory_address=address, activation_address=place, beats=count,
                                       **waits))
        transfers.append(Transfer(stream=opcode.name.lower(), address=address, bytes=count * beat, layer=layer,
                                  image=number))

    for number in range(batch):
        # An image is loaded when the one before is done with: its result stored.
        before = number * len(layers)
        move(Opcode.LOAD, number, input_address + number * input_beats * beat, addresses[IMAGE], input_beats, 0,
             wait_layers=before, wait_stores=number)
        for geometry, layer, stream, tiling in zip(layers, network.layers, streams, tilings):
            index = geometry.index
            operations.append(Operation(position=len(program), layer=index, image=number, first_row=0,
                                        rows=geometry.output_shape[0], output_address=addresses[geometry.name],
                                        output_bytes=geometry.output_bytes))
            for name, address, content in (("mask", masks[index], coded[index]),
                                           ("parameter", parameters[index], records[index])):
                transfers.append(Transfer(stream=name, address=address, bytes=len(content), layer=index, image=number))
            # A layer waits for its input's producer alone. Every unit takes the layers in order, and the post-processor
            # takes one when the one before is done, so that residuals are there and whatever a layer overwrites has
            # been read.
            try:
                program.append(descriptor.pack(
                    opcode=Opcode.LAYER, wait_layers=before + geometry.producer + 1 if geometry.producer >= 0 else 0,
                    wait_loads=number + 1 if geometry.producer < 0 else 0, input_address=addresses[geometry.layer.input],
                    pad_value=layer.pad_value, output_address=addresses[geometry.name],
                    residual_address=addresses[geometry.layer.residual] if geometry.layer.residual else 0,
                    mask_address=masks[index], mask_words=stream.words.size, mask_beats=beats(len(coded[index])),
                    parameter_address=parameters[index], parameter_beats=beats(len(records[index])),
                    **_input_fields(geometry, config), **_tiling_fields(tiling), **_weight_fields(layer),
                    **_output_fields(geometry, layer)))
            except ValueError as error:
                raise CompileError(f"layer {geometry.name}: {error}: use a smaller layer") from error
        move(Opcode.STORE, number, output_address + number * output_beats * beat, addresses[layers[-1].name],
             output_beats, len(layers) - 1, wait_layers=before + len(layers))
    program.append(descriptor.pack(opcode=Opcode.END))
    image.place(program_address, b"".join(program))

    macs = network.topology.macs()
    plans = tuple(_plan(geometry, stream, tiling, config, macs[geometry.name], transfers)
                  for geometry, stream, tiling in zip(layers, streams, tilings))
    return Program(
        config=config, batch=batch, image=image.build(), program_address=program_address, input_address=input_address,
        input_bytes=batch * input_beats * beat, input_shape=layers[0].input_shape, output_address=output_address,
        output_bytes=batch * output_beats * beat, layers=plans, operations=tuple(operations), transfers=tuple(transfers),
        descriptors=descriptors, predicted_cycles=batch * (timeline.done[-1] + output_beats))


def _plan(geometry: Geometry, stream: MaskStream, tiling: Tiling, config: EngineConfig, macs: int,
          transfers: list[Transfer]) -> LayerPlan:
    layer = geometry.layer
    moved = {f"{name}_bytes": sum(transfer.bytes for transfer in transfers
                                  if transfer.layer == geometry.index and transfer.stream == name)
             for name in ("mask", "parameter", "load", "store")}
    return LayerPlan(
        name=layer.name, index=geometry.index, column_tiles=tiling.column_tiles, pixel_tiles=tiling.pixel_tiles,
        tile_pixels=tiling.tile_pixels, mask_bits=stream.bits, macs=macs, weights=layer.weights,
        beats=tiling.column_tiles * layer.kernel * geometry.run_chunks(config) * geometry.pixels, strips=1, bytes=moved,
        output_shape=geometry.output_shape, wide=layer.wide, pool=POOLS[geometry.pool_kind])
