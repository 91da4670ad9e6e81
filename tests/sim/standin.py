"""A stand-in for the engine: same ports, but its program only copies memory, so the harness can be tested by itself.

A command is 16 bytes: opcode (0 end, 1 copy), flags, beats (16 bits), source (32 bits), destination (32 bits),
activation address (32 bits). A copy is one layer: beats pass straight from read data to write data, and the low four
bytes of each are traced to consecutive activation addresses. Commands and copies must not cross a 4 KiB page.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from arch.config import EngineConfig
from arch.counters import COUNTER_BITS, COUNTERS

HANG, SKIP_LAST_TRACE, WITHDRAW, ERROR, STRAY_TRACE, WIDE_BURST, SKIP_LAYER, CHAIN = (1 << bit for bit in range(8))
"""Flags of a copy: what goes wrong in it. CHAIN copies what it has just written on to CHAINED bytes further, without
waiting for write_done, in the same layer."""

CHAINED = 0x400

PROGRAM, INPUT, OUTPUT, SCRATCH = 0, 0x1000, 0x2000, 0x3000

_TEMPLATE = """
module topcoat_engine (
    input clk, input rst, input start, input [31:0] program_address, output busy, output reg done,
    output reg [3:0] error, output reg [15:0] error_position,
    output [{request}-1:0] memory__read_request__payload, output reg memory__read_request__valid,
    input memory__read_request__ready,
    input [{bus}-1:0] memory__read_data__payload, input memory__read_data__valid, output memory__read_data__ready,
    output [{request}-1:0] memory__write_request__payload, output reg memory__write_request__valid,
    input memory__write_request__ready,
    output [{bus}-1:0] memory__write_data__payload, output memory__write_data__valid, input memory__write_data__ready,
    input memory__write_done__valid, output memory__write_done__ready,
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
                done <= 0; error <= 0; error_position <= 0; cycles <= 0; loaded <= 0; stored <= 0; position <= 0;
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
                else if (flags[3]) begin error <= 5; error_position <= position; state <= IDLE; end
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
        if (rst) begin
            state <= IDLE; done <= 0; error <= 0;
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
class Copy:
    """One layer of the stand-in: ``beats`` beats from ``source`` to ``destination``."""

    name: str
    source: int
    destination: int
    beats: int
    output_address: int
    flags: int = 0
    #: Beats whose trace makes up the tensor; all if None.
    traced: int | None = None
    macs: int = 0

    @property
    def output_bytes(self) -> int:
        return 4 * (self.beats if self.traced is None else self.traced)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """One pixel of four channels per beat."""
        return 1, self.output_bytes // 4, 4

    def tensor(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, np.int8).reshape(self.output_shape)


@dataclass(frozen=True)
class CopyProgram:
    """A program of copies; the network's output is the beats at OUTPUT."""

    layers: tuple[Copy, ...]
    input_bytes: int
    output_bytes: int
    program_address: int = PROGRAM
    input_address: int = INPUT
    output_address: int = OUTPUT

    @property
    def image(self) -> bytes:
        commands = b"".join(struct.pack("<BBHIII", 1, layer.flags, layer.beats, layer.source, layer.destination,
                                        layer.output_address) for layer in self.layers)
        return commands.ljust(SCRATCH + 0x1000, b"\0")

    def pack_input(self, image: np.ndarray) -> bytes:
        return image.tobytes()

    def unpack_output(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, np.int8)


def two_copies(beats: int = 40, flags: int = 0, last_flags: int = 0) -> CopyProgram:
    """INPUT to SCRATCH and on to OUTPUT, each a layer."""
    return CopyProgram((Copy("first", INPUT, SCRATCH, beats, 0x40, flags),
                        Copy("second", SCRATCH, OUTPUT, beats, 0x800, last_flags)), 8 * beats, 8 * beats)
