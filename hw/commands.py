"""What the dispatcher tells each unit about a layer: typed command payloads made of descriptor fields."""

from amaranth import *
from amaranth.lib import data

from arch.config import MAX_COATS
from arch.descriptor import FIELDS

__all__ = ["COUNT_BITS", "MaskCommand", "ParameterCommand", "DecodeCommand", "BuildCommand", "PassCommand",
           "PostCommand", "TransferCommand", "ReadCommand"]

#: Width of the counts of completed layers, loads and stores of a program.
COUNT_BITS = FIELDS["wait_layers"].bits


def _layout(*names: str) -> data.StructLayout:
    """A struct of descriptor fields, each with its own width and sign."""
    return data.StructLayout({name: Shape(FIELDS[name].bits, FIELDS[name].signed) for name in names})


#: For the mask buffer: how many 16-bit words the layer's mask stream has, and whether it stays or is there already.
MaskCommand = _layout("mask_words", "mask_keep", "mask_reuse")

#: For the parameter buffer: records of the layer, and whether they stay or are there already.
ParameterCommand = _layout("out_channels", "parameter_keep", "parameter_reuse")

#: For the coat decoder: the code and its table, and how many lanes are used (``min(run_bytes, lanes)``).
DecodeCommand = _layout("code", "symbol_bits", "coats", "run_bytes", "out_channels", "ans_offset",
                        *(f"frequency_{index}" for index in range(1, MAX_COATS + 1)))

#: For the weight builder: the loop over column tiles, pixel tiles, kernel rows, chunks and columns.
BuildCommand = _layout("run_bytes", "kernel_rows", "run_chunks", "run_blocks", "pixel_tiles", "out_channels",
                       "stream", "code", "table_low", "table_high")

#: For the pass sequencer: the same loop, with pixels instead of columns.
PassCommand = _layout("wait_layers", "wait_loads", "wait_stores", "input_address", "pad_value", "input_height",
                      "row_bytes", "step_bytes", "pad_bytes", "run_bytes", "kernel_rows", "stride", "pad_rows",
                      "row_step_bytes", "map_width", "pixels", "tile_pixels", "out_channels")

#: For the post-processor: requantisation, pool and write-back of every (column tile, pixel tile).
PostCommand = _layout("map_width", "pixels", "tile_pixels", "out_channels", "residual", "wide", "pool", "shift",
                      "clamp_low", "residual_multiplier", "residual_address", "output_address", "pool_kernel",
                      "pool_stride", "pool_padding", "pool_row_padding", "pool_shift", "pool_height", "pool_width",
                      "pool_multiplier", "pool_row_bytes")

#: For the load and store units, for the descriptor number ``position``.
TransferCommand = data.StructLayout({
    **_layout("wait_layers", "wait_loads", "wait_stores", "memory_address", "activation_address", "beats").members,
    "position": 16,
})

#: For a burst reader: read ``beats`` beats from byte address ``address``, for the descriptor number ``position``.
ReadCommand = data.StructLayout({"address": 32, "beats": 32, "position": 16})
