"""A stand-in for the engine: same ports, but its program only copies memory, so the harness can be tested by itself.

A command is 16 bytes: opcode (0 end, 1 copy), flags, beats (16 bits), source (32 bits), destination (32 bits),
activation address (32 bits). A copy is one operation, a row of a layer: beats pass straight from read data to write
data, and the low four bytes of each are traced to consecutive activation addresses. Commands and copies must not cross
a 4 KiB page.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from arch.config import EngineConfig
from arch.counters import COUNTER_BITS, COUNTERS

HANG, SKIP_LAST_TRACE, WITHDRAW, ERROR, STRAY_TRACE, WIDE_BURST, SKIP_LAYER, CHAIN = (1 << bit for bit in range(8))
"""Flags of a copy: what goes wrong in it. CHAIN copies what it has just written on to CHAINED bytes further, without
waiting for write_done, in the same operation. ERROR reports a wrong checksum in the segment whose number is the number
of beats."""

CHAINED = 0x400

PROGRAM, INPUT, OUTPUT, SCRATCH = 0, 0x1000, 0x2000, 0x3000

_TEMPLATE = """
module topcoat_engine (
    input clk, input rst, input start, input [31:0] program_address, output busy, output reg done,
    output reg [3:0] error, output reg [15:0] error_position, output reg [15:0] error_segment,
    output [{request}-1:0] memory__read_request__payload, output reg memory__read_request__valid,
    input memory__read_request__ready,
    input [{bus}-1:0] memory__read_data__payload, input memory__read_data__valid, output memory__read_data__ready,
    input memory__read_error,
    output [{request}-1:0] memory__write_request__payload, output reg memory__write_request__valid,
    input memory__write_request__ready,
    output [{bus}-1:0] memory__write_data__payload, output memory__write_data__valid, input memory__write_data__ready,
    input memory__write_done__valid, output memory__write_done__ready, input memory__write_error,
    output trace__valid, output [{address}-1:0] trace__address, output [31:0] trace__data, output [3:0] trace__mask,
    output reg layer_start, output reg layer_done{ports}
);
    localparam IDLE = 0, FETCH = 1, LOW = 2, HIGH = 3, COPY = 4, DRAIN = 5;
    localparam BURST = {burst};
    reg [2:0] state;
    reg [31:0] address, source, destination, activation;
    reg [15:0] beats, read_asked, write_asked, moved, bursts, finished, position;
    reg [7:0] flags;
    reg copy;
    reg [47:0] cycles, loaded, stored;
    wire hang = flags[0], skip_trace = flags[1], withdraw = flags[2], stray = flags[4], wide = flags[5];
    wire chain = flags[7];
    assign busy = state != IDLE;
    wire [15:0] read_left = beats - read_asked, write_left = beats - write_asked;
    wire [{beats}-1:0] read_beats = state == FETCH ? 2 : read_left > BURST ? BURST : read_left;
    wire [{beats}-1:0] write_beats = (wide ? BURST + 1 : write_left > BURST ? BURST : write_left);
    assign memory__read_request__payload = {{read_beats, state == FETCH ? address : source + read_asked * 8}};
    assign memory__write_request__payload = {{write_beats, destination + write_asked * 8}};
    wire copying = state == COPY;
    assign memory__write_data__payload = memory__read_data__payload;
    assign memory__write_data__valid = copying && memory__read_data__valid;
    assign memory__read_data__ready = state == LOW || state == HIGH || copying && memory__write_data__ready;
    assign memory__write_done__ready = state == DRAIN || copying;
    wire moves = memory__write_data__valid && memory__write_data__ready;
    wire last = moved + 1 == beats;
    assign trace__valid = moves && !(skip_trace && last);
    assign trace__address = activation + moved * 4 + (stray && last ? 64 : 0);
    assign trace__data = memory__read_data__payload[31:0];
    assign trace__mask = 4'hf;
    wire finish = memory__write_done__valid && memory__write_done__ready;
    wire [15:0] now_finished = finished + finish;
{assigns}
    always @(posedge clk) begin
        layer_start <= 0;
        layer_done <= 0;
        if (busy) cycles <= cycles + 1;
        if (finish) finished <= finished + 1;
        case (state)
            IDLE: if (start) begin
                done <= 0; error <= 0; error_position <= 0; error_segment <= 0;
                cycles <= 0; loaded <= 0; stored <= 0; position <= 0;
                address <= program_address; state <= FETCH; memory__read_request__valid <= 1;
            end
            FETCH: if (memory__read_request__valid && memory__read_request__ready) begin
                memory__read_request__valid <= 0;
                state <= LOW;
            end
            LOW: if (memory__read_data__valid) begin
                state <= HIGH;
                copy <= memory__read_data__payload[0];
                flags <= memory__read_data__payload[15:8];
                beats <= memory__read_data__payload[31:16];
                source <= memory__read_data__payload[63:32];
            end
            HIGH: if (memory__read_data__valid) begin
                destination <= memory__read_data__payload[31:0];
                activation <= memory__read_data__payload[63:32];
                read_asked <= 0; write_asked <= 0; moved <= 0; bursts <= 0; finished <= 0;
                if (!copy) begin done <= 1; state <= IDLE; end
                else if (flags[3]) begin
                    error <= 9; error_position <= position; error_segment <= beats; done <= 1; state <= IDLE;
                end
                else if (hang) state <= HIGH;
                else begin
                    state <= COPY; layer_start <= 1;
                    memory__read_request__valid <= 1; memory__write_request__valid <= 1;
                end
            end
            COPY: begin
                if (memory__read_request__valid && memory__read_request__ready) begin
                    read_asked <= read_asked + read_beats;
                    memory__read_request__valid <= read_left > BURST;
                end
                if (memory__write_request__valid && memory__write_request__ready) begin
                    write_asked <= write_asked + write_beats;
                    memory__write_request__valid <= write_left > BURST;
                    bursts <= bursts + 1;
                end else if (withdraw) memory__write_request__valid <= !memory__write_request__valid;
                if (moves) begin
                    moved <= moved + 1;
                    loaded <= loaded + 8; stored <= stored + 8;
                    if (last) state <= DRAIN;
                end
            end
            DRAIN: if (chain) begin
                flags[7] <= 0;
                source <= destination; destination <= destination + {chained};
                read_asked <= 0; write_asked <= 0; moved <= 0;
                state <= COPY;
                memory__read_request__valid <= 1; memory__write_request__valid <= 1;
            end else if (now_finished == bursts) begin
                layer_done <= !flags[6];
                address <= address + 16; position <= position + 1;
                state <= FETCH; memory__read_request__valid <= 1;
            end
        endcase
        if (moves && memory__read_error || finish && memory__write_error) begin
            error <= moves && memory__read_error ? 11 : 12; error_position <= position; done <= 1; state <= IDLE;
        end
        if (rst) begin
            state <= IDLE; done <= 0; error <= 0; layer_start <= 0; layer_done <= 0;
            memory__read_request__valid <= 0; memory__write_request__valid <= 0;
        end
    end
endmodule
"""


def standin_verilog(config: EngineConfig) -> str:
    """Verilog of the stand-in; ``config`` must have 64-bit beats and a trace port."""
    values = {"cycles": "cycles", "load_bytes": "loaded", "store_bytes": "stored"}
    ports = "".join(f",\n    output [{COUNTER_BITS - 1}:0] counters__{name}" for name in COUNTERS)
    assigns = "\n".join(f"    assign counters__{name} = {values.get(name, 0)};" for name in COUNTERS)
    beats = config.burst_beats.bit_length()
    return _TEMPLATE.format(request=32 + beats, beats=beats, bus=config.bus_bits, burst=config.burst_beats,
                            ports=ports, chained=CHAINED, address=config.activation_address_bits, assigns=assigns)


@dataclass(frozen=True)
class Transfer:
    """One contiguous run of addresses that a stream moves."""

    stream: str
    address: int
    bytes: int
    layer: int | None


@dataclass(frozen=True)
class Operation:
    """One row of a layer's tensor."""

    layer: int
    image: int
    first_row: int
    output_address: int
    output_bytes: int
    rows: int = 1


@dataclass(frozen=True)
class Layer:
    """Rows of ``output_shape[1]`` pixels of four channels: one pixel per traced beat."""

    name: str
    output_shape: tuple[int, int, int]
    macs: int = 0
    output_type: np.dtype = np.dtype(np.int8)


@dataclass(frozen=True)
class Copy:
    """One command: ``beats`` beats from ``source`` to ``destination``, row ``row`` of layer ``name``."""

    name: str
    source: int
    destination: int
    beats: int
    output_address: int
    flags: int = 0
    #: Beats whose trace makes up the row; all if None.
    traced: int | None = None
    image: int = 0
    row: int = 0

    @property
    def pixels(self) -> int:
        return self.beats if self.traced is None else self.traced

    @property
    def command(self) -> bytes:
        return struct.pack("<BBHIII", 1, self.flags, self.beats, self.source, self.destination, self.output_address)

    def transfers(self, layer: int) -> Iterator[Transfer]:
        size = 8 * self.beats
        yield Transfer("load", self.source, size, layer)
        yield Transfer("store", self.destination, size, layer)
        if self.flags & CHAIN:
            yield Transfer("load", self.destination, size, layer)
            yield Transfer("store", self.destination + CHAINED, size, layer)


@dataclass(frozen=True)
class CopyProgram:
    """A program of copies; the network's output is the beats at OUTPUT."""

    copies: tuple[Copy, ...]
    input_bytes: int
    output_bytes: int
    batch: int = 1
    program_address: int = PROGRAM
    input_address: int = INPUT
    output_address: int = OUTPUT

    @property
    def image(self) -> bytes:
        return b"".join(copy.command for copy in self.copies).ljust(SCRATCH + 0x1000, b"\0")

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(copy.name for copy in self.copies))

    @property
    def layers(self) -> tuple[Layer, ...]:
        rows = {copy.name: copy.row + 1 for copy in self.copies}
        pixels = {copy.name: copy.pixels for copy in self.copies}
        return tuple(Layer(name, (rows[name], pixels[name], 4)) for name in self._names)

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(Operation(self._names.index(copy.name), copy.image, copy.row, copy.output_address, 4 * copy.pixels)
                     for copy in self.copies)

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        commands = Transfer("program", PROGRAM, 16 * (len(self.copies) + 1), None)
        return (commands, *(transfer for copy in self.copies
                            for transfer in copy.transfers(self._names.index(copy.name))))

    def pack_input(self, images: np.ndarray) -> bytes:
        return images.tobytes()

    def unpack_output(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, np.int8).reshape(self.batch, -1)


def two_copies(beats: int = 40, flags: int = 0, last_flags: int = 0, batch: int = 1) -> CopyProgram:
    """INPUT to SCRATCH and on to OUTPUT, each a layer; image after image."""
    size = 8 * beats
    copies = []
    for image in range(batch):
        copies += [Copy("first", INPUT + image * size, SCRATCH + image * size, beats, 0x40, flags, image=image),
                   Copy("second", SCRATCH + image * size, OUTPUT + image * size, beats, 0x800, last_flags, image=image)]
    return CopyProgram(tuple(copies), batch * size, batch * size, batch)
